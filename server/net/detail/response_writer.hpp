#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <string>
#include <string_view>

#include "server/net/request_context.hpp"

namespace pam::net::detail {

/// `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 section 5.6.7), independent of the locale.
[[nodiscard]] std::array<char, 29> format_http_date(std::time_t seconds);

/// A larger body is not copied behind its head. With its head a body of this size fits into one TLS record.
inline constexpr std::size_t largest_joined_body = 15 * 1024;

/// Turns an answer into bytes to write. Keeps for a second what all answers of one shape begin with.
/// Shard: one per server, not thread-safe.
class response_writer {
 public:
  /// @param keep_alive  announced as `Keep-Alive: timeout=N`, in whole seconds
  explicit response_writer(std::chrono::milliseconds keep_alive);

  /// Appends the head to `to`, and behind it a body of at most `largest_joined_body`. Header values are
  /// cleaned of control characters, so that no value can begin another header. No body after HEAD, 204 and
  /// 304 (RFC 9110 section 6.4.1).
  /// @return what follows `to`: a larger body, where it lies in `request.out`
  [[nodiscard]] std::string_view write(const request_context& request, bool keeps_alive,
                                       std::chrono::system_clock::time_point now, std::string& to);

 private:
  struct shape {
    std::time_t second = -1;
    unsigned status = 0;
    bool keeps_alive = false;
    bool is_tls = false;
    bool no_store = false;
    std::string_view content_type;  ///< a literal; empty without a body
    bool operator==(const shape&) const = default;
  };
  struct kept {
    shape of;
    std::string text;
    std::size_t id_at = 0;  ///< where the id of the request goes
  };
  /// Status line and every header that all answers of the shape have, up to the value of Content-Length.
  [[nodiscard]] const kept& opening(const shape& of);

  std::string keep_alive_line_;
  std::array<kept, 2> kept_;  ///< of the last 200, and of the last other status
};

}  // namespace pam::net::detail
