#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace pam::net::detail {

/// 26 characters of Crockford's base32 (no I, L, O, U): 48 bits of milliseconds since 1970, then 80
/// random bits. Sorts by time; unique without coordination.
[[nodiscard]] std::array<char, 26> encode_request_id(std::uint64_t milliseconds,
                                                     const std::array<std::uint8_t, 10>& random);

/// Makes request ids from the kernel's random numbers, fetched in blocks.
/// Shard: one per server, not thread-safe.
class request_ids {
 public:
  [[nodiscard]] std::array<char, 26> next(std::chrono::system_clock::time_point now);

 private:
  void refill();

  std::array<std::uint8_t, 640> random_{};
  std::size_t used_ = sizeof(random_);
};

}  // namespace pam::net::detail
