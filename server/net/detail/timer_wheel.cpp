#include "server/net/detail/timer_wheel.hpp"

#include <algorithm>

namespace pam::net::detail {

std::uint64_t timer_wheel::ticks_until(clock::time_point when) const {
  if (when <= origin_) return 0;
  return static_cast<std::uint64_t>((when - origin_) / tick_);
}

void timer_wheel::schedule(node& timer, clock::time_point when) {
  cancel(timer);
  // The tick after the one `when` lies in: never early.
  timer.due = std::max(ticks_until(when), current_) + 1;
  ring_[timer.due % slots].push_back(timer);
}

void timer_wheel::collect(clock::time_point now, list& due) {
  const std::uint64_t target = ticks_until(now);
  if (target <= current_) return;
  // After a long pause each list is still visited once only.
  const std::uint64_t visits = std::min<std::uint64_t>(target - current_, slots);
  for (std::uint64_t tick = target - visits + 1; tick <= target; ++tick) {
    list& slot = ring_[tick % slots];
    for (auto at = slot.begin(); at != slot.end();) {
      node& timer = *at++;
      if (timer.due > target) continue;
      timer.unlink();
      due.push_back(timer);
    }
  }
  current_ = target;
}

}  // namespace pam::net::detail
