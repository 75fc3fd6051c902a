#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

namespace pam::net::detail {

/// 26 characters of Crockford's base32 (no I, L, O, U): 48 bits of milliseconds since 1970, then 80
/// random bits. Sorts by time; unique without coordination.
/// @param random  five bits of each byte are taken
[[nodiscard]] std::array<char, 26> encode_request_id(std::uint64_t milliseconds,
                                                     std::span<const std::uint8_t, 16> random);

/// Makes request ids from random numbers of OpenSSL, fetched in blocks.
/// Shard: one per server, not thread-safe.
class request_ids {
 public:
  /// @throws std::runtime_error  when OpenSSL has no random numbers
  [[nodiscard]] std::array<char, 26> next(std::chrono::system_clock::time_point now);

 private:
  void refill();

  std::array<std::uint8_t, 4096> random_{};
  std::size_t used_ = sizeof(random_);
};

}  // namespace pam::net::detail
