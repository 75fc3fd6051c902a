#pragma once

#include <atomic>
#include <cstdint>

namespace pam::db::detail {

/// A number written by one thread and read by any. A plain load and store: no bus lock on the shard.
class counter {
 public:
  void add(std::uint64_t amount = 1) { set(get() + amount); }
  void set(std::uint64_t value) { value_.store(value, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

}  // namespace pam::db::detail
