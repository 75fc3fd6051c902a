#pragma once

#include <atomic>
#include <chrono>
#include <limits>

namespace pam::db {

/// Whose turn it is to try a connection while the database is away: one attempt an interval, whatever the
/// number of shards that share the object. Thread-safe; must outlive the databases that use it.
class connect_turns {
 public:
  using clock = std::chrono::steady_clock;

  /// Takes the turn when it is free. @return `now` or before: go; else when to ask again
  clock::time_point claim(clock::time_point now, clock::duration interval) {
    clock::rep free_at = free_at_.load(std::memory_order_relaxed);
    do {
      if (free_at > now.time_since_epoch().count()) return clock::time_point{clock::duration{free_at}};
    } while (!free_at_.compare_exchange_weak(free_at, (now + interval).time_since_epoch().count(),
                                             std::memory_order_relaxed));
    return now;
  }

  /// Somebody got through: nobody has to wait any more.
  void all_may_try() { free_at_.store(std::numeric_limits<clock::rep>::min(), std::memory_order_relaxed); }

 private:
  std::atomic<clock::rep> free_at_{std::numeric_limits<clock::rep>::min()};
};

}  // namespace pam::db
