#include "load-tests/swarm/conduct.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "load-tests/swarm/swarm.hpp"

namespace pam::load {
namespace {

using namespace std::chrono_literals;

constexpr moment at_ease{.token_left = 10min};

/// Shares of what a hundred thousand moments bring.
std::map<operation, double> shares_of(conduct& of_all, const moment& at, double allowed) {
  constexpr int draws = 100'000;
  conduct::chance chance{7};
  std::map<operation, double> shares;
  for (int i = 0; i < draws; ++i) {
    of_all.allow(allowed);
    shares[of_all.choose(at, chance)] += 1.0 / draws;
  }
  return shares;
}

TEST(conduct, actions_come_in_the_shares_that_are_asked_for) {
  conduct of_all{{.read_share = 0.5, .list_share = 0.2, .refresh_share = 0.25}};

  const auto shares = shares_of(of_all, at_ease, 1);

  EXPECT_NEAR(shares.at(operation::read), 0.5, 0.006);
  EXPECT_NEAR(shares.at(operation::list), 0.2, 0.006);
  EXPECT_NEAR(shares.at(operation::refresh), 0.25, 0.006);
  EXPECT_NEAR(shares.at(operation::sign_out), 0.05, 0.006);
  EXPECT_EQ(shares.size(), 4U);
}

TEST(conduct, who_may_not_sign_out_or_in_again_reads_instead) {
  for (const auto& [may, allowed] : {std::pair{true, 0.0}, std::pair{false, 1.0}}) {
    conduct of_all{{}};
    moment at = at_ease;
    at.may_sign_out = may;

    const auto shares = shares_of(of_all, at, allowed);

    EXPECT_NEAR(shares.at(operation::read), 0.75, 0.006);
    EXPECT_FALSE(shares.contains(operation::sign_out));
  }
}

TEST(conduct, sign_ins_are_kept_for_two_seconds_at_most_and_one_in_any_case) {
  const auto sign_outs_after = [](double rate, int seconds) {
    conduct of_all{{.read_share = 0, .list_share = 0, .refresh_share = 0}};
    conduct::chance chance{1};
    for (int i = 0; i < seconds; ++i) of_all.allow(rate);
    int all = 0;
    while (of_all.choose(at_ease, chance) == operation::sign_out) ++all;
    return all;
  };

  EXPECT_EQ(sign_outs_after(3, 1), 3);
  EXPECT_EQ(sign_outs_after(3, 100), 6);
  EXPECT_EQ(sign_outs_after(0.25, 3), 0);
  EXPECT_EQ(sign_outs_after(0.25, 100), 1);
}

TEST(conduct, who_is_signed_out_signs_in_and_who_must_refresh_does) {
  conduct of_all{{}};
  conduct::chance chance{1};

  EXPECT_EQ(of_all.choose({.is_signed_in = false, .must_refresh = true}, chance), operation::sign_in);
  EXPECT_EQ(of_all.choose({.must_refresh = true, .token_left = 1h}, chance), operation::refresh);
}

TEST(conduct, a_token_that_ends_before_the_next_action_could_come_is_refreshed) {
  conduct of_all{{.think = 30s, .read_share = 1}};
  conduct::chance chance{1};

  EXPECT_EQ(of_all.choose({.token_left = 55s}, chance), operation::read);
  EXPECT_EQ(of_all.choose({.token_left = 54s}, chance), operation::refresh);
  EXPECT_EQ(of_all.choose({.token_left = 100s, .slowness = 2}, chance), operation::read);
  EXPECT_EQ(of_all.choose({.token_left = 99s, .slowness = 2}, chance), operation::refresh);
}

// A day of a user: the token it acts with is the newest one, and good for the margin at least.
TEST(conduct, nobody_ever_acts_with_a_token_that_has_ended_or_was_replaced) {
  const auto keys = crypto::key_ring::parse(crypto::key_ring::generate().value()).value();
  const population people(1'790'000'000'000ms, keys, "https://x/auth/v1");
  conduct of_all{{.think = 30s, .refresh_share = 0}};
  conduct::chance chance{3};
  swarm_user of;
  of.model.token = people.first_token(people.at(1));
  of.expires_at = 300;
  std::uint32_t refreshes = 0;
  const conduct::clock::time_point morning{};
  of.next = of_all.first_action(morning, chance);

  while (of.next < morning + 24h) {
    const std::int64_t second = (of.next - morning) / 1s;
    const std::chrono::seconds left{of.expires_at - second};
    ASSERT_GE(left, conduct::refresh_margin - 1s) << "in second " << second;
    if (of_all.choose({.token_left = left, .may_sign_out = false}, chance) == operation::refresh) {
      ++refreshes;
      of.adopt({keys.derive(of.model.token, of.model.token.generation + 1), std::to_string(refreshes),
                second + 300});
      ASSERT_EQ(of.access, std::to_string(refreshes));
    }
    of.next = of_all.next_action(of.next, 1, chance);
  }

  EXPECT_EQ(of.model.token.generation, refreshes);
  // Each lives for 300 s, and is replaced 10 to 100 s before its end.
  EXPECT_GT(refreshes, 24 * 3600 / 300);
  EXPECT_LT(refreshes, 24 * 3600 / 200);
}

TEST(conduct, who_was_signed_out_is_signed_in_with_what_a_sign_in_brought) {
  swarm_user of;
  of.is_signed_in = false;

  of.adopt({{}, "access", 77});

  EXPECT_TRUE(of.is_signed_in);
  EXPECT_EQ(of.expires_at, 77);
}

TEST(conduct, the_next_action_comes_half_to_one_and_a_half_think_times_after_the_intended_start) {
  const conduct of_all{{.think = 10s}};
  conduct::chance chance{5};
  const conduct::clock::time_point intended{1h};
  std::chrono::duration<double> sum{0};
  constexpr int draws = 10'000;
  for (int i = 0; i < draws; ++i) {
    const auto pause = of_all.next_action(intended, 2, chance) - intended;
    ASSERT_GE(pause, 10s);
    ASSERT_LE(pause, 30s);
    sum += pause;
  }

  EXPECT_NEAR(sum.count() / draws, 20, 0.25);
}

// Twenty thousand users who appear at once act at the same rate from the first second on.
TEST(conduct, a_crowd_that_appears_at_once_neither_comes_in_waves_nor_late) {
  const conduct of_all{{.think = 30s}};
  conduct::chance chance{11};
  constexpr int users = 20'000;
  constexpr int spans = 30;
  std::array<int, spans> actions{};
  const conduct::clock::time_point begin{};
  for (int i = 0; i < users; ++i) {
    for (auto at = of_all.first_action(begin, chance); at < begin + spans * 5s;
         at = of_all.next_action(at, 1, chance)) {
      ++actions[static_cast<std::size_t>((at - begin) / 5s)];
    }
  }

  constexpr double even = users * 5.0 / 30;
  for (const int each : actions) EXPECT_NEAR(each, even, 0.07 * even);
}

}  // namespace
}  // namespace pam::load
