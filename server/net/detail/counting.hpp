#pragma once

#include <atomic>
#include <cstdint>

namespace pam::net::detail {

/// Counters have one writer, the shard: a plain load and store, no locked instruction.
inline void count(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
inline void uncount(std::atomic<std::uint64_t>& counter) {
  counter.store(counter.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
}

}  // namespace pam::net::detail
