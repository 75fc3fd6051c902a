#include "server/api/queue_bound.hpp"

#include <algorithm>

namespace pam::api {
namespace {

constexpr std::chrono::milliseconds window{100};
constexpr std::size_t enough = 16;  ///< answers that make a window
constexpr std::chrono::milliseconds patience{500};
constexpr std::chrono::milliseconds calm_enough{1'000};

}  // namespace

void queue_bound::left(clock::time_point entered, clock::time_point now) noexcept {
  if (bearable_.count() == 0) return;
  if (answered_ == 0 && began_ == clock::time_point{}) began_ = now;
  ++answered_;
  if (now - entered > bearable_) ++late_;
  if (now - began_ < window || answered_ < enough) return;
  judge(now - began_);
  began_ = now;
  answered_ = late_ = 0;
  has_refused_ = false;
}

void queue_bound::judge(clock::duration elapsed) noexcept {
  const bool is_late = late_ * 2 > answered_;
  const std::chrono::duration<double> seconds = elapsed;
  const double carried =
      static_cast<double>(answered_) / seconds.count() * std::chrono::duration<double>(bearable_).count();
  if (limit_ == most_) {
    // A pause, such as a failover, is one late window however long it was.
    standing_ = is_late ? standing_ + std::min<clock::duration>(elapsed, window) : clock::duration{0};
    if (standing_ < patience) return;
    limit_ = std::clamp(static_cast<std::size_t>(carried), std::min(least, most_), most_);
    standing_ = calm_ = clock::duration{0};
    return;
  }
  calm_ = is_late || has_refused_ ? clock::duration{0} : calm_ + elapsed;
  if (calm_ >= calm_enough) {
    limit_ = most_;
    return;
  }
  const double smoothed = (static_cast<double>(limit_) + carried) / 2;
  // Without refusals the rate is what is asked, not what can be done: it must not lower the bound.
  const auto next = std::clamp(static_cast<std::size_t>(smoothed), std::min(least, most_), most_);
  limit_ = has_refused_ || is_late ? next : std::max(limit_, next);
}

}  // namespace pam::api
