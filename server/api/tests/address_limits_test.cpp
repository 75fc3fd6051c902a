#include "server/api/address_limits.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;
using boost::asio::ip::make_address;
using pam::api::address_limits;
using pam::api::limited_prefix;
using pam::net::cost_class;

const std::chrono::steady_clock::time_point start{1'000'000s};

address_limits::rates one_a_minute() {
  address_limits::rates how{};
  how.fill(pam::auth::rate{.burst = 1, .interval = 1min});
  how[static_cast<std::size_t>(cost_class::free)] = {};
  return how;
}

bool passes(address_limits& limits, const char* from, cost_class cost = cost_class::read) {
  return limits.take(make_address(from), cost, start) == 0us;
}

TEST(address_limits, an_ipv4_address_is_limited_by_itself) {
  address_limits limits{one_a_minute(), 0, {}};

  EXPECT_TRUE(passes(limits, "192.0.2.1"));
  EXPECT_FALSE(passes(limits, "192.0.2.1"));
  EXPECT_TRUE(passes(limits, "192.0.2.2"));
  EXPECT_EQ(limits.stats().limited.load(), 1U);
}

TEST(address_limits, a_mapped_address_is_the_ipv4_address) {
  address_limits limits{one_a_minute(), 0, {}};

  EXPECT_TRUE(passes(limits, "192.0.2.1"));
  EXPECT_FALSE(passes(limits, "::ffff:192.0.2.1"));
}

TEST(address_limits, an_ipv6_address_is_limited_with_its_64) {
  address_limits limits{one_a_minute(), 0, {}};

  EXPECT_TRUE(passes(limits, "2001:db8:0:1::1"));
  EXPECT_FALSE(passes(limits, "2001:db8:0:1:ffff:ffff:ffff:ffff"));
  EXPECT_TRUE(passes(limits, "2001:db8:0:2::1"));
  EXPECT_EQ(limited_prefix(make_address("2001:db8::1")).size(), 8U);
}

TEST(address_limits, classes_do_not_share_a_budget_and_free_has_none) {
  address_limits limits{one_a_minute(), 0, {}};

  EXPECT_TRUE(passes(limits, "192.0.2.1", cost_class::read));
  EXPECT_TRUE(passes(limits, "192.0.2.1", cost_class::write));
  EXPECT_TRUE(passes(limits, "192.0.2.1", cost_class::hash));
  EXPECT_FALSE(passes(limits, "192.0.2.1", cost_class::hash));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(passes(limits, "192.0.2.1", cost_class::free));
}

TEST(address_limits, unlimited_networks_are_not_limited) {
  address_limits limits{one_a_minute(), 1, {"10.0.0.0/8", "2001:db8::/32", "nonsense"}};

  for (const char* from : {"10.1.2.3", "::ffff:10.1.2.3", "2001:db8:ffff::1"}) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(passes(limits, from)) << from;
    const auto first = limits.hold(make_address(from));
    EXPECT_TRUE(first.first && limits.hold(make_address(from)).first) << from;
  }
  EXPECT_TRUE(passes(limits, "11.1.2.3"));
  EXPECT_FALSE(passes(limits, "11.1.2.3"));
}

TEST(address_limits, an_address_holds_no_more_than_its_share_at_the_same_time) {
  address_limits limits{one_a_minute(), 2, {}};
  const auto mine = make_address("192.0.2.1");
  {
    const auto first = limits.hold(mine);
    const auto second = limits.hold(mine);
    EXPECT_TRUE(first.first && second.first);
    EXPECT_FALSE(limits.hold(mine).first);
    EXPECT_TRUE(limits.hold(make_address("192.0.2.2")).first);
  }

  EXPECT_TRUE(limits.hold(mine).first);
  EXPECT_EQ(limits.stats().unfair.load(), 1U);
}

}  // namespace
