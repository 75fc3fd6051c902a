#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "server/runtime/config.hpp"
#include "server/runtime/config_table.hpp"

namespace pam::runtime {

inline configuration good(std::string_view toml, const environment& variables = {}) {
  auto parsed = parse_config(toml, "pam.toml", variables);
  EXPECT_TRUE(parsed.has_value()) << (parsed.has_error() ? to_string(parsed.error()) : "");
  return parsed.has_value() ? std::move(*parsed) : configuration{};
}

inline config_errors bad(std::string_view toml, const environment& variables = {}) {
  auto parsed = parse_config(toml, "pam.toml", variables);
  EXPECT_TRUE(parsed.has_error()) << "accepted: " << toml;
  return parsed.has_error() ? parsed.error() : config_errors{};
}

/// The only finding, as its line of text.
inline std::string finding(std::string_view toml, const environment& variables = {}) {
  const auto errors = bad(toml, variables);
  EXPECT_EQ(errors.size(), 1U) << to_string(errors);
  return to_string(errors);
}

/// Every value as text, for comparing configurations.
inline std::vector<std::string> values_of(configuration settings) {
  std::vector<std::string> out;
  for (const option& each : options_of(settings)) {
    out.push_back(std::string{each.key} + " = " + format_value(each));
  }
  return out;
}

/// A text and what has to be said of it.
struct refused_case {
  std::string_view toml;
  std::string_view message;
};

/// Gone with its files at the end.
class temporary_folder {
 public:
  temporary_folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pam_config_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~temporary_folder() { std::filesystem::remove_all(path_); }
  temporary_folder(const temporary_folder&) = delete;
  temporary_folder& operator=(const temporary_folder&) = delete;

  std::string write(const std::string& name, std::string_view content) const {
    const auto file = path_ / name;
    std::ofstream{file, std::ios::binary} << content;
    return file.string();
  }
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace pam::runtime
