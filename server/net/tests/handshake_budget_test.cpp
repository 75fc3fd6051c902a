#include "server/net/detail/handshake_budget.hpp"

#include <gtest/gtest.h>

namespace pam::net::detail {
namespace {

using namespace std::chrono_literals;

const handshake_budget::clock::time_point start{};

TEST(handshake_budget, the_burst_is_small_and_the_rate_is_kept) {
  handshake_budget budget(1'000, start);
  std::size_t at_once = 0;
  while (budget.take(start)) ++at_once;
  std::size_t in_a_second = 0;
  for (auto now = start; now < start + 1s; now += handshake_budget::pause) {
    while (budget.take(now)) ++in_a_second;
  }

  EXPECT_EQ(at_once, 20u);
  EXPECT_NEAR(static_cast<double>(in_a_second), 990.0, 11.0);
}

TEST(handshake_budget, a_rate_below_the_pause_still_lets_one_through) {
  handshake_budget budget(1, start);

  EXPECT_TRUE(budget.take(start));
  EXPECT_FALSE(budget.take(start + 500ms));
  EXPECT_TRUE(budget.take(start + 1500ms));
}

TEST(handshake_budget, zero_is_no_limit) {
  handshake_budget budget(0, start);

  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(budget.take(start));
}

TEST(handshake_budget, time_that_stands_still_or_goes_back_earns_nothing) {
  handshake_budget budget(1, start + 10s);
  ASSERT_TRUE(budget.take(start + 10s));

  EXPECT_FALSE(budget.take(start + 10s));
  EXPECT_FALSE(budget.take(start));
}

}  // namespace
}  // namespace pam::net::detail
