#include "server/auth/attempt_policy.hpp"

#include <algorithm>

namespace pam::auth {
namespace {

std::chrono::seconds delay_after(std::int32_t failures) {
  constexpr std::int32_t longest_shift = 10;  // 1,024 s: above the limit already
  constexpr std::chrono::seconds longest{900};
  if (failures < free_attempts) return std::chrono::seconds{0};
  const std::int32_t shift = std::min(failures - free_attempts, longest_shift);
  return std::min(std::chrono::seconds{std::int64_t{1} << shift}, longest);
}

}  // namespace

attempt_verdict judge_attempt(const attempts& so_far, timestamp now) {
  if (!so_far.failed_since || *so_far.failed_since + attempts_memory <= now) return attempt_verdict::counts;
  if (so_far.failed_count >= max_attempts) return attempt_verdict::exhausted;
  std::chrono::seconds owed{0};
  for (std::int32_t n = free_attempts; n <= so_far.failed_count; ++n) owed += delay_after(n);
  return now < *so_far.failed_since + owed ? attempt_verdict::too_soon : attempt_verdict::counts;
}

std::chrono::steady_clock::time_point refusal_time(std::chrono::steady_clock::time_point arrived,
                                                   std::chrono::steady_clock::time_point judged,
                                                   std::chrono::steady_clock::time_point counted) {
  const auto taken = std::max(judged + refusal_step, counted) - arrived;
  const auto steps = (taken + refusal_step - std::chrono::nanoseconds{1}) / refusal_step;
  return arrived + steps * refusal_step;
}

}  // namespace pam::auth
