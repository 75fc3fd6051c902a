#include "server/net/detail/handshake_budget.hpp"

#include <algorithm>

namespace pam::net::detail {

handshake_budget::handshake_budget(std::size_t per_second, clock::time_point now)
    : per_second_(static_cast<double>(per_second)),
      // Two pauses' worth: a timer that fires late must not lower the rate.
      capacity_(std::max(1.0, per_second_ * 2 * std::chrono::duration<double>(pause).count())),
      tokens_(capacity_),
      filled_(now) {}

bool handshake_budget::take(clock::time_point now) {
  if (per_second_ == 0) return true;
  const std::chrono::duration<double> elapsed = now - filled_;
  tokens_ = std::min(capacity_, tokens_ + std::max(0.0, elapsed.count()) * per_second_);
  filled_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

}  // namespace pam::net::detail
