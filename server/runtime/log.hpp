#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include <boost/system/result.hpp>

namespace pam::runtime {

enum class log_level : std::uint8_t { debug, info, warn, error };

[[nodiscard]] std::string_view to_string(log_level level);
/// "debug", "info", "warn" or "error"; nullopt otherwise.
[[nodiscard]] std::optional<log_level> parse_log_level(std::string_view name);

/// The value of a field. Texts are borrowed until the call returns.
class log_value {
 public:
  using variant = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  log_value(std::string_view text) : value_(text) {}  // NOLINT(google-explicit-constructor): fields read as
  log_value(const char* text) : log_value(std::string_view{text}) {}  // NOLINT     pairs in a braced list
  log_value(const std::string& text) : log_value(std::string_view{text}) {}  // NOLINT
  log_value(bool truth) : value_(truth) {}                                   // NOLINT
  log_value(double number) : value_(number) {}                               // NOLINT
  template <std::signed_integral T>
  log_value(T number) : value_(static_cast<std::int64_t>(number)) {}  // NOLINT
  template <std::unsigned_integral T>
    requires(!std::same_as<T, bool>)
  log_value(T number) : value_(static_cast<std::uint64_t>(number)) {}  // NOLINT

  [[nodiscard]] const variant& get() const { return value_; }

 private:
  variant value_;
};

struct log_field {
  std::string_view name;
  log_value value;
};
using log_fields = std::initializer_list<log_field>;

/// Why a log could not be opened: names the file and the system's reason.
struct log_error {
  std::string message;
};
[[noreturn]] void throw_exception_from_error(const log_error& failure, const boost::source_location& where);

struct log_settings {
  log_level level = log_level::info;
  std::string file;              ///< empty: standard output
  std::size_t flood_limit = 20;  ///< lines a second of the same event at warn or above; more are counted
  /// Takes finished lines, each with its line feed, instead of file and standard output; one call at a time.
  std::function<void(std::string_view)> write;
  std::function<std::chrono::system_clock::time_point()> now = &std::chrono::system_clock::now;
};

/// Writes one JSON object a line:
/// {"time":"2026-11-22T10:43:00.123456Z","level":"info","msg":"...","event":"...", fields...}.
///
/// A line is at most 8,192 bytes; one that would be longer loses the end of its texts and says
/// "truncated":true. Invalid UTF-8 becomes U+FFFD, control characters are escaped. Every line is handed to
/// the system at once, so a killed process loses none. What cannot be written (a full disk) is counted, never
/// thrown.
///
/// Never pass passwords, tokens, hashes, whole addresses or SQL parameters; see `redacted_email`.
/// Thread-safe. Standard output that nobody reads blocks the caller.
class logger {
 public:
  [[nodiscard]] static boost::system::result<logger, log_error> open(log_settings settings);
  logger(logger&&) noexcept;
  logger& operator=(logger&&) noexcept;
  logger(const logger&) = delete;
  logger& operator=(const logger&) = delete;
  /// Reports what is still suppressed.
  ~logger();

  /// @param event    stable snake_case literal, the line's kind
  /// @param message  for people; empty: the event with spaces
  void debug(std::string_view event, log_fields fields = {}, std::string_view message = {});
  void info(std::string_view event, log_fields fields = {}, std::string_view message = {});
  void warn(std::string_view event, log_fields fields = {}, std::string_view message = {});
  void error(std::string_view event, log_fields fields = {}, std::string_view message = {});
  void write(log_level level, std::string_view event, log_fields fields, std::string_view message = {});

  /// For callers that would spend work on fields.
  [[nodiscard]] bool is_enabled(log_level level) const;
  void set_level(log_level level);
  void set_flood_limit(std::size_t lines_a_second);

  /// Closes the file and opens the same name again (after logrotate moved it). The old file stays in use
  /// when the new one cannot be opened. Does nothing for standard output.
  [[nodiscard]] boost::system::result<void, log_error> reopen();

  /// Writes one "log_suppressed" line for each event that lost lines in a second that is over. Call it
  /// about once a second; a later line of the same event does it too.
  void report_suppressed();

  /// Lines that could not be written since the start.
  [[nodiscard]] std::uint64_t lost() const;

 private:
  struct impl;
  explicit logger(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

/// "a***@example.com" for "anna@example.com": the first character and the domain. "***" without an '@'.
[[nodiscard]] std::string redacted_email(std::string_view address);

}  // namespace pam::runtime
