#pragma once

#include <chrono>
#include <cstdint>

namespace pam::async {

class call_timeline;

/// What one request spent where, counted by whoever does the work: the database facade and the hash pool.
/// Shard: written on the shard of the request it belongs to.
struct call_costs {
  std::chrono::nanoseconds database_queue{0};  ///< until a statement left, or a lease was there
  std::chrono::nanoseconds database{0};        ///< from then until it was committed or failed
  std::chrono::nanoseconds hash_queue{0};      ///< until a password had a thread
  std::chrono::nanoseconds hash{0};            ///< and until it was hashed
  std::uint32_t statements = 0;
  std::uint32_t hashes = 0;
  call_timeline* timeline = nullptr;  ///< each piece of it; null unless the request's trace is exported
};

}  // namespace pam::async
