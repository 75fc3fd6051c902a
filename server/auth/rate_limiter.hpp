#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "server/crypto/keyed_digest.hpp"

namespace pam::auth {

/// `burst` requests at once, and one more every `interval`. A burst of 0 limits nothing.
struct rate {
  std::uint32_t burst = 0;
  std::chrono::microseconds interval{0};
};

/// GCRA (ITU-T I.371, the virtual scheduling algorithm) for many keys in a table of fixed size: a key is one
/// moment, the theoretical arrival time of its next request. Keys are kept under a keyed hash, so nobody can
/// choose ones that crowd a bucket; when a bucket is full, the key that owes least is forgotten, so that a
/// flood of new keys cannot wash away those that are limited.
/// Pure: the time is passed in. Shard: one object a shard.
class rate_limiter {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  /// @param entries  rounded up to a power of two; 16 bytes each
  explicit rate_limiter(std::size_t entries = 32'768);

  /// Takes one request from the key's budget.
  /// @return zero when there was one, else how long until there is; nothing is taken then
  [[nodiscard]] std::chrono::microseconds take(std::string_view key, const rate& budget, time_point now);

  /// Keys forgotten while they still owed something: the table is too small for the traffic.
  [[nodiscard]] std::uint64_t forgotten() const { return forgotten_; }

 private:
  static constexpr std::size_t ways = 4;
  struct entry {
    std::uint64_t tag = 0;     ///< 0: free
    std::int64_t arrival = 0;  ///< microseconds of the steady clock
  };
  [[nodiscard]] entry& find(std::string_view key, std::int64_t now);

  crypto::keyed_digest digest_;
  std::vector<entry> entries_;
  std::uint64_t forgotten_ = 0;
};

}  // namespace pam::auth
