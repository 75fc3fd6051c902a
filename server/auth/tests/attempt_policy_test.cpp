#include "server/auth/attempt_policy.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using pam::auth::attempt_verdict;
using pam::auth::attempts;
using pam::auth::judge_attempt;
using pam::auth::timestamp;

const timestamp start{1'700'000'000s};

attempt_verdict after(std::int32_t failures, std::chrono::seconds since_first) {
  return judge_attempt(attempts{failures, start}, start + since_first);
}

TEST(attempt_policy, an_account_without_failures_waits_for_nothing) {
  EXPECT_EQ(judge_attempt(attempts{}, start), attempt_verdict::counts);
}

TEST(attempt_policy, the_first_four_failures_cost_no_waiting) {
  for (std::int32_t n = 1; n < pam::auth::free_attempts; ++n)
    EXPECT_EQ(after(n, 0s), attempt_verdict::counts) << n;
}

TEST(attempt_policy, delays_double_and_add_up) {
  struct row {
    std::int32_t failures;
    std::chrono::seconds owed;
  };
  for (const row& each :
       {row{5, 1s}, row{6, 3s}, row{7, 7s}, row{8, 15s}, row{14, 1023s}, row{15, 1923s}, row{16, 2823s}}) {
    EXPECT_EQ(after(each.failures, each.owed - 1s), attempt_verdict::too_soon) << each.failures;
    EXPECT_EQ(after(each.failures, each.owed), attempt_verdict::counts) << each.failures;
  }
}

TEST(attempt_policy, whoever_is_slow_by_himself_never_waits) {
  for (std::int32_t n = 1; n < 100; ++n) EXPECT_EQ(after(n, n * 862s), attempt_verdict::counts) << n;
}

TEST(attempt_policy, a_hundred_failures_end_the_day) {
  EXPECT_EQ(after(99, 23h + 59min), attempt_verdict::counts);
  EXPECT_EQ(after(100, 23h + 59min), attempt_verdict::exhausted);
  EXPECT_EQ(after(5000, 23h + 59min), attempt_verdict::exhausted);
}

TEST(attempt_policy, refusals_come_at_whole_steps_that_leave_time_to_count) {
  using pam::auth::refusal_time;
  const std::chrono::steady_clock::time_point arrived{1'000'003us};
  struct row {
    std::chrono::microseconds judged, counted, answered;
  };
  for (const row& each :
       {row{0us, 1us, 10ms}, row{1us, 900us, 20ms}, row{9'999us, 10'800us, 20ms},
        row{10'000us, 10'001us, 20ms}, row{10'001us, 12'000us, 30ms}, row{43'210us, 44'000us, 60ms},
        row{5'000us, 20'000us, 20ms}, row{5'000us, 20'001us, 30ms}, row{5'000us, 987'654us, 990ms}}) {
    EXPECT_EQ(refusal_time(arrived, arrived + each.judged, arrived + each.counted) - arrived, each.answered)
        << each.judged.count() << ' ' << each.counted.count();
  }
}

TEST(attempt_policy, the_next_day_begins_anew) {
  EXPECT_EQ(after(5000, 24h), attempt_verdict::counts);
}

// What a guesser gets at most, whatever his pattern: he tries again the moment it is allowed.
TEST(attempt_policy, gives_a_guesser_about_a_hundred_tries_a_day) {
  attempts row;
  int tries = 0;
  for (timestamp now = start; now < start + 24h; now += 1s) {
    if (judge_attempt(row, now) != attempt_verdict::counts) continue;
    ++tries;
    ++row.failed_count;
    if (!row.failed_since) row.failed_since = now;
  }

  EXPECT_LE(tries, 112);
  EXPECT_GE(tries, 90);
}

TEST(attempt_policy, a_row_from_the_future_waits_and_does_not_overflow) {
  EXPECT_EQ(judge_attempt(attempts{2'000'000'000, start + 1h}, start), attempt_verdict::exhausted);
  EXPECT_EQ(judge_attempt(attempts{6, start + 1h}, start), attempt_verdict::too_soon);
}

}  // namespace
