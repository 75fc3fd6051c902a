#include "server/api/queue_bound.hpp"

#include <algorithm>

namespace pam::api {
namespace {

constexpr std::chrono::milliseconds window{100};
constexpr std::size_t enough = 16;  ///< answers that make a window
constexpr std::chrono::milliseconds patience{500};
constexpr std::chrono::milliseconds calm_enough{1'000};

}  // namespace

void queue_bound::left(clock::time_point entered, clock::time_point now, bool was_served) noexcept {
  if (bearable_.count() == 0) return;
  const bool is_late = now - entered > bearable_;
  if (!was_served && !is_late) return;
  if (answered_ == 0 && began_ == clock::time_point{}) began_ = now;
  ++answered_;
  if (was_served) ++served_;
  if (is_late) ++late_;
  if (now - began_ < window || answered_ < enough) return;
  judge(now - began_);
  began_ = now;
  answered_ = served_ = late_ = 0;
  has_refused_ = false;
}

void queue_bound::judge(clock::duration elapsed) noexcept {
  const bool is_late = late_ * 2 > answered_;
  const double rate = static_cast<double>(served_) / std::chrono::duration<double>(elapsed).count();
  if (limit_ == most_) {
    // A pause, such as a failover, is one late window however long it was.
    standing_ = is_late ? standing_ + std::min<clock::duration>(elapsed, window) : clock::duration{0};
    if (standing_ < patience) return;
    limit_ = bound_at(rate);
    standing_ = calm_ = clock::duration{0};
    return;
  }
  calm_ = is_late || has_refused_ ? clock::duration{0} : calm_ + elapsed;
  if (calm_ >= calm_enough) {
    limit_ = most_;
    return;
  }
  const std::size_t next = (limit_ + bound_at(rate)) / 2;
  // Without refusals the rate is what is asked, not what can be done: it must not lower the bound.
  limit_ = has_refused_ || is_late ? next : std::max(limit_, next);
}

std::size_t queue_bound::bound_at(double rate) const noexcept {
  const auto bearable = static_cast<std::size_t>(rate * std::chrono::duration<double>(bearable_).count());
  return std::clamp(std::min(bearable, busy_), std::min(least, most_), most_);
}

}  // namespace pam::api
