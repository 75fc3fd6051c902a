#pragma once

#include <atomic>
#include <cstdint>

namespace pam::async {

/// Counters that one shard writes and any thread may read: a plain load and store, no locked instruction.
inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
inline void uncount(std::atomic<std::uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

}  // namespace pam::async
