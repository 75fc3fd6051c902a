#include "server/auth/rate_limiter.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace std::chrono_literals;
using pam::auth::rate;
using pam::auth::rate_limiter;

const rate_limiter::time_point start{1'000'000s};
constexpr rate three_then_one_a_second{.burst = 3, .interval = 1s};

TEST(rate_limiter, lets_a_burst_through_and_then_one_an_interval) {
  rate_limiter limiter;

  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.take("a", three_then_one_a_second, start), 0us) << i;
  EXPECT_EQ(limiter.take("a", three_then_one_a_second, start), 1s);
  EXPECT_EQ(limiter.take("a", three_then_one_a_second, start + 999ms), 1ms);
  EXPECT_EQ(limiter.take("a", three_then_one_a_second, start + 1s), 0us);
  EXPECT_EQ(limiter.take("a", three_then_one_a_second, start + 1s), 1s);
}

TEST(rate_limiter, a_refused_request_costs_nothing) {
  rate_limiter limiter;
  for (int i = 0; i < 3; ++i) (void)limiter.take("a", three_then_one_a_second, start);

  for (int i = 0; i < 100; ++i) EXPECT_EQ(limiter.take("a", three_then_one_a_second, start), 1s);

  EXPECT_EQ(limiter.take("a", three_then_one_a_second, start + 1s), 0us);
}

TEST(rate_limiter, saves_no_more_than_the_burst) {
  rate_limiter limiter;
  (void)limiter.take("a", three_then_one_a_second, start);

  for (int i = 0; i < 3; ++i) EXPECT_EQ(limiter.take("a", three_then_one_a_second, start + 24h), 0us) << i;
  EXPECT_EQ(limiter.take("a", three_then_one_a_second, start + 24h), 1s);
}

TEST(rate_limiter, keys_do_not_share_a_budget) {
  rate_limiter limiter;
  for (int i = 0; i < 4; ++i) (void)limiter.take("a", three_then_one_a_second, start);

  EXPECT_EQ(limiter.take("b", three_then_one_a_second, start), 0us);
}

TEST(rate_limiter, a_burst_of_zero_limits_nothing) {
  rate_limiter limiter;
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(limiter.take("a", rate{}, start), 0us);
}

TEST(rate_limiter, holds_the_long_run_to_the_rate_whatever_the_pattern) {
  rate_limiter limiter;
  int passed = 0;
  for (int i = 0; i < 100'000; ++i) {
    if (limiter.take("a", three_then_one_a_second, start + i * 7ms) == 0us) ++passed;
  }

  EXPECT_EQ(passed, 3 + 699);  // 100,000 requests in 699.993 s
}

TEST(rate_limiter, a_flood_of_new_keys_does_not_free_one_that_is_limited) {
  rate_limiter limiter{64};
  constexpr rate slow{.burst = 3, .interval = 1h};
  for (int i = 0; i < 3; ++i) (void)limiter.take("limited", slow, start);

  for (int i = 0; i < 10'000; ++i)
    (void)limiter.take("k" + std::to_string(i), three_then_one_a_second, start);

  EXPECT_GT(limiter.take("limited", slow, start), 0us);
  EXPECT_GT(limiter.forgotten(), 0U);
}

TEST(rate_limiter, keys_that_owe_nothing_are_forgotten_without_a_word) {
  rate_limiter limiter{64};
  for (int i = 0; i < 10'000; ++i) {
    (void)limiter.take("k" + std::to_string(i), three_then_one_a_second, start + i * 10s);
  }

  EXPECT_EQ(limiter.forgotten(), 0U);
}

}  // namespace
