#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "server/runtime/log.hpp"

namespace pam::runtime {

/// Longest line, its line feed included.
inline constexpr std::size_t log_line_limit = 8'192;

/// Builds one line: begin, add fields, finish. A field that does not fit any more is cut (texts) or left
/// out, and the line then ends in "truncated":true.
class log_line {
 public:
  log_line(std::chrono::system_clock::time_point time, log_level level, std::string_view event,
           std::string_view message);

  void add(std::string_view name, const log_value& value);
  /// The whole line with its line feed. Once.
  [[nodiscard]] std::string finish();

 private:
  void append_name(std::string_view name);
  void append_text(std::string_view text, std::size_t longest);
  void append_number(const log_value::variant& value);

  std::string text_;
  bool is_truncated_ = false;
};

}  // namespace pam::runtime
