#include "server/crypto/detail/retry_estimate.hpp"

#include <algorithm>
#include <cmath>

namespace pam::crypto::detail {
namespace {

/// How many shall knock while one hash is done. Below 1 threads would wait for clients; with 2.5 a storm of n
/// has about 2.5 n refusals, and chance leaves no gap.
constexpr double knocks_per_hash = 2.5;
/// When a client comes back, as a multiple of what it was told: once to twice.
constexpr double mean_return = 1.5;

}  // namespace

std::uint64_t retry_estimate::averaged(std::uint64_t average, std::uint64_t took) noexcept {
  if (average == 0) return took;
  const std::uint64_t part = took < average ? 8 : 128;
  return ((part - 1) * average + took) / part;
}

std::chrono::seconds retry_estimate::refused(turn whose, clock::time_point now,
                                             std::chrono::duration<double> per_hash) noexcept {
  advance(now);
  const auto who = static_cast<std::size_t>(whose);
  ++outside_[who];
  std::uint64_t in_line = outside_[static_cast<std::size_t>(turn::first)];
  if (whose != turn::first) in_line += outside_[static_cast<std::size_t>(turn::usual)];
  // As a floating-point number until it is clamped: the clock of a machine that slept measures any time.
  const double wanted = static_cast<double>(in_line) * per_hash.count() / (knocks_per_hash * mean_return);
  constexpr auto bound = static_cast<double>(most.count());
  const std::chrono::seconds told{
      std::max(least.count(), static_cast<std::int64_t>(std::ceil(std::min(wanted, bound))))};
  ++expected_in(slot_ + told.count() * slots_per_second)[who];
  return told;
}

void retry_estimate::advance(clock::time_point now) noexcept {
  const std::int64_t slot = std::chrono::floor<slot_time>(now.time_since_epoch()).count();
  if (now - last_ > quiet) {
    expected_ = {};
    outside_ = {};
    slot_ = slot;
  }
  while (slot_ < slot) {
    counts& back = expected_in(++slot_);
    for (std::size_t i = 0; i < back.size(); ++i) outside_[i] -= back[i];
    back = {};
  }
  last_ = now;
}

}  // namespace pam::crypto::detail
