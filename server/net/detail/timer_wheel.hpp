#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <boost/intrusive/list.hpp>

namespace pam::net::detail {

/// Timeouts of many objects for the price of one timer: a ring of lists, one list a tick.
/// A node never expires early and at most one tick late (plus the delay of the caller's `advance`).
/// Pure: the time is passed in. A node that is destroyed leaves by itself.
class timer_wheel {
 public:
  using clock = std::chrono::steady_clock;

  struct node : boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
    std::uint64_t due = 0;  ///< tick; written by the wheel only
  };

  timer_wheel(clock::duration tick, clock::time_point origin) : tick_(tick), origin_(origin) {}

  /// (Re)schedules; O(1).
  void schedule(node& timer, clock::time_point when);
  static void cancel(node& timer) {
    if (timer.is_linked()) timer.unlink();
  }

  /// Calls `expired(node&)` for everything due at `now`; the node is unlinked before. The callback may
  /// schedule, cancel and destroy any node.
  template <class Expired>
  void advance(clock::time_point now, Expired&& expired) {
    list due;
    collect(now, due);
    while (!due.empty()) {
      node& timer = due.front();
      due.pop_front();
      expired(timer);
    }
  }

 private:
  using list = boost::intrusive::list<node, boost::intrusive::constant_time_size<false>>;
  /// With a tick of 250 ms one turn is 128 s: longer than any usual limit; longer ones stay for a second
  /// turn.
  static constexpr std::size_t slots = 512;

  void collect(clock::time_point now, list& due);
  [[nodiscard]] std::uint64_t ticks_until(clock::time_point when) const;

  clock::duration tick_;
  clock::time_point origin_;
  std::uint64_t current_ = 0;  ///< last tick that was collected
  std::array<list, slots> ring_;
};

}  // namespace pam::net::detail
