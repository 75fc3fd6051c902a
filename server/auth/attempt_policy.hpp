#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "server/auth/types.hpp"

namespace pam::auth {

/// Failed sign-ins of one account, as its row counts them.
struct attempts {
  std::int32_t failed_count = 0;
  std::optional<timestamp> failed_since;  ///< of the first of them
};

enum class attempt_verdict : std::uint8_t {
  counts,     ///< the password decides
  too_soon,   ///< a stranger's password is not looked at before the delay is over
  exhausted,  ///< today nobody but a known device gets in by password
};

/// Failures that cost no waiting.
inline constexpr std::int32_t free_attempts = 5;
/// Failures after which strangers have had their chance for the day (NIST SP 800-63B section 5.2.2).
inline constexpr std::int32_t max_attempts = 100;
/// After this the count begins anew: never a lock for ever.
inline constexpr std::chrono::hours attempts_memory{24};

/// Whether a stranger's password may count now. Pure.
///
/// The n-th failure adds a delay of 2^(n-5) seconds, at most 15 minutes; the next attempt counts once the
/// delays so far have passed since the first failure. So bursts are slowed within seconds, and whoever
/// spreads his attempts still has no more than about 100 a day.
[[nodiscard]] attempt_verdict judge_attempt(const attempts& so_far, timestamp now);

/// Refused sign-ins are answered at whole multiples of this after their arrival.
inline constexpr std::chrono::milliseconds refusal_step{10};

/// When a sign-in whose password was found wrong at `judged` is answered: at the first whole step after its
/// arrival that leaves a step for counting the failure, or, when that took longer, after `counted`. What an
/// account's row costs more than none at all is lost in it (docs/adr/0060). Pure.
[[nodiscard]] std::chrono::steady_clock::time_point refusal_time(
    std::chrono::steady_clock::time_point arrived, std::chrono::steady_clock::time_point judged,
    std::chrono::steady_clock::time_point counted);

}  // namespace pam::auth
