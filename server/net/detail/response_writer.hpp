#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "server/net/request_context.hpp"

namespace pam::net::detail {

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7), independent of the locale.
[[nodiscard]] std::array<char, 29> format_http_date(std::time_t seconds);

/// Turns an answer into the bytes of one write. Keeps the Date text for a second.
/// Shard: one per server, not thread-safe.
class response_writer {
 public:
  /// @param keep_alive  announced as `Keep-Alive: timeout=N`, in whole seconds
  explicit response_writer(std::chrono::milliseconds keep_alive);

  /// Appends head and body to `to`. Header values are cleaned of control characters, so that no value
  /// can begin another header. No body after HEAD, 204 and 304 (RFC 9110 section 6.4.1).
  void write(const request_context& request, bool keeps_alive, std::chrono::system_clock::time_point now,
             std::string& to);

 private:
  void write_head(const request_context& request, bool keeps_alive, std::time_t now, std::string& to);

  std::string keep_alive_line_;
  std::time_t date_second_ = -1;
  std::array<char, 29> date_{};
};

}  // namespace pam::net::detail
