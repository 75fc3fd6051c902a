#include "server/auth/rate_limiter.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <span>

namespace pam::auth {

rate_limiter::rate_limiter(std::size_t entries) : entries_(std::bit_ceil(std::max(entries, ways))) {}

rate_limiter::entry& rate_limiter::find(std::string_view key, std::int64_t now) {
  const auto name = digest_.of(key);
  std::array<std::uint64_t, 2> parts{};
  std::memcpy(parts.data(), name.data(), sizeof parts);
  const std::uint64_t tag = parts[0] | 1;
  const std::size_t buckets = entries_.size() / ways;
  const std::span bucket{entries_.data() + (parts[1] & (buckets - 1)) * ways, ways};
  const auto known = std::ranges::find(bucket, tag, &entry::tag);
  if (known != bucket.end()) return *known;
  // A free entry has the least possible arrival time.
  entry& least = *std::ranges::min_element(bucket, {}, &entry::arrival);
  if (least.tag != 0 && least.arrival > now) ++forgotten_;
  least = {tag, now};
  return least;
}

std::chrono::microseconds rate_limiter::take(std::string_view key, const rate& budget, time_point now) {
  if (budget.burst == 0) return std::chrono::microseconds{0};
  const std::int64_t moment =
      std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  entry& of = find(key, moment);
  const std::int64_t arrival = std::max(of.arrival, moment);
  const std::int64_t tolerance = budget.interval.count() * (std::int64_t{budget.burst} - 1);
  const std::int64_t early = arrival - tolerance - moment;
  if (early > 0) return std::chrono::microseconds{early};
  of.arrival = arrival + budget.interval.count();
  return std::chrono::microseconds{0};
}

}  // namespace pam::auth
