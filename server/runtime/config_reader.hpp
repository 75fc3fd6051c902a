#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "server/runtime/config_table.hpp"

namespace pam::runtime {

/// Where a value was written. Environment variables come after all lines, defaults after those.
struct value_origin {
  std::size_t line = 0;
  std::string text;
};

/// The text of a configuration file of at most 1 MiB.
[[nodiscard]] boost::system::result<std::string, config_errors> read_config_file(const std::string& file);

/// One reading of a configuration: collects values from the file, then the environment, applies them in
/// that order and gathers every finding. Used once.
class config_reader {
 public:
  config_reader(std::string_view file_name, const environment& variables);

  void read_toml(std::string_view toml);
  void read_environment();
  /// Profile first, then the values, then files and the rules that span keys.
  void apply();

  [[nodiscard]] bool has_findings() const { return !findings_.empty(); }
  /// Sorted by line, then by key.
  [[nodiscard]] config_errors take_findings();
  [[nodiscard]] configuration take_settings() { return std::move(settings_); }
  /// The table, its targets bound to the values as read so far.
  [[nodiscard]] const std::vector<option>& table() const { return table_; }
  /// "pam.toml:12", "environment PAM_...", or "default".
  [[nodiscard]] std::string origin_text(std::string_view key) const { return origin_of(key).text; }

 private:
  struct entry {
    const option* which;
    raw_value value;
    value_origin origin;
  };
  struct finding {
    value_origin origin;
    std::string key;
    std::string message;
  };

  void report(value_origin origin, std::string_view key, std::string message);
  void report_unknown_section(const value_origin& origin, std::string_view name);
  void report_unknown_key(const value_origin& origin, std::string_view key);
  [[nodiscard]] std::string did_you_mean(std::string_view key) const;
  [[nodiscard]] value_origin origin_of(std::string_view key) const;

  void apply_profile_choice();
  void resolve_credentials();
  void read_password(std::string_view key, std::string_view file_key);
  void add_to_origin(std::string_view key, std::string_view source, std::string_view way);
  void check_rules();
  void check_rule(bool holds, std::string_view key, std::string_view other, std::string message);

  std::string file_name_;
  const environment& variables_;
  configuration settings_;
  std::vector<option> table_;
  std::vector<entry> entries_;
  std::map<std::string_view, value_origin> origins_;  ///< of keys that were given; keys live in the table
  std::set<std::string, std::less<>> faulty_;         ///< keys with a finding of their own
  std::vector<finding> findings_;
};

}  // namespace pam::runtime
