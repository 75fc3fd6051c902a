#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "server/runtime/config.hpp"

namespace pam::runtime {

/// The member of a `configuration` a key stands for; its type decides how the value is written.
using option_target = std::variant<bool*, std::uint16_t*, std::uint32_t*, std::size_t*,
                                   std::chrono::milliseconds*, std::chrono::seconds*, std::string*,
                                   std::vector<std::string>*, db::pooler_mode*, std::vector<db::endpoint>*>;

/// What a text (or each text of a list) must look like.
struct text_form {
  std::string_view description;  ///< completes "must be ..."
  bool (*accepts)(std::string_view);
};

enum class option_mark : std::uint8_t {
  none,
  bytes,   ///< a size with a unit
  file,    ///< a path, or credential:name
  secret,  ///< never repeated in a message or a table
};

/// One key of the configuration: everything that is known about it, once.
struct option {
  std::string_view key;  ///< "section.key"
  option_target target;
  std::string_view meaning;  ///< a sentence without its full stop
  std::int64_t low = 0;      ///< numbers and bytes as they are, durations in milliseconds, lists in entries
  std::int64_t high = 0;
  option_mark mark = option_mark::none;
  bool is_reloadable = false;
  std::span<const std::string_view> choices{};
  const text_form* form = nullptr;

  [[nodiscard]] std::string_view section() const { return key.substr(0, key.find('.')); }
  [[nodiscard]] std::string_view name() const { return key.substr(key.find('.') + 1); }
};

struct section {
  std::string_view name;
  std::string_view meaning;
};

/// The sections in the order they are documented.
[[nodiscard]] std::span<const section> config_sections();

/// The table, its targets bound to the members of `settings`, grouped by section in their order.
[[nodiscard]] std::vector<option> options_of(configuration& settings);
/// The entry of a key, or null.
[[nodiscard]] const option* find_option(const std::vector<option>& table, std::string_view key);

/// Changes the defaults to those of the named profile ("strict" differs from the struct's own).
void apply_profile(configuration& settings, std::string_view profile);

/// A value as it was written, before its key gave it a type. monostate: a table, a date or a mixed list.
using raw_value =
    std::variant<std::monostate, bool, std::int64_t, double, std::string, std::vector<std::string>>;

/// Reads the text of an environment variable the way the option's type needs it.
[[nodiscard]] raw_value read_text(const option& which, std::string_view text);
/// Checks type and range and stores the value. Returns what is wrong, or nullopt.
[[nodiscard]] std::optional<std::string> assign(const option& which, const raw_value& value);

/// What the key takes: "a duration from 10s to 24h", "one of compatible, strict".
[[nodiscard]] std::string expectation(const option& which);
/// The current value as TOML; "" for a secret.
[[nodiscard]] std::string format_value(const option& which);
/// PAM_SECTION__KEY
[[nodiscard]] std::string variable_name(std::string_view key);

}  // namespace pam::runtime
