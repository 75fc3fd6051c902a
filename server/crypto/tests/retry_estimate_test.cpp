#include "server/crypto/detail/retry_estimate.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <queue>
#include <random>
#include <vector>

namespace pam::crypto::detail {
namespace {

using namespace std::chrono_literals;
using seconds = std::chrono::duration<double>;

constexpr retry_estimate::clock::time_point start{1h};

retry_estimate::clock::time_point at(seconds since) {
  return start + std::chrono::duration_cast<retry_estimate::clock::duration>(since);
}

/// What `count` refusals at once are told, the last of them.
std::chrono::seconds crowd(retry_estimate& of, std::size_t count, seconds when, seconds per_hash,
                           turn whose = turn::usual) {
  std::chrono::seconds told{0};
  for (std::size_t i = 0; i < count; ++i) told = of.refused(whose, at(when), per_hash);
  return told;
}

TEST(retry_estimate, one_refusal_is_told_one_second) {
  retry_estimate outside;
  EXPECT_EQ(outside.refused(turn::usual, start, 20ms), 1s);
}

TEST(retry_estimate, the_last_of_many_is_told_when_those_before_him_are_in) {
  retry_estimate outside;
  // 50 hashes a second: 187.5 clients a second of what they are told.
  EXPECT_EQ(crowd(outside, 187, 0s, 20ms), 1s);
  EXPECT_EQ(crowd(outside, 188, 0s, 20ms), 2s);
  EXPECT_EQ(crowd(outside, 1'500, 0s, 20ms), 10s);
}

TEST(retry_estimate, stays_within_its_bounds) {
  retry_estimate outside;
  EXPECT_EQ(crowd(outside, 100'000, 0s, 20ms), retry_estimate::most);
  EXPECT_EQ(crowd(outside, 1, 0s, seconds{std::numeric_limits<double>::max()}), retry_estimate::most);
  EXPECT_EQ(crowd(outside, 1, 0s, 0s), retry_estimate::least);  // nobody knows yet what a hash takes
}

TEST(retry_estimate, who_is_expected_back_is_outside_no_more) {
  retry_estimate outside;
  crowd(outside, 187, 0s, 20ms);    // back on average after 1.5 s
  crowd(outside, 1'400, 1s, 20ms);  // the last of them within 13.5 s more
  EXPECT_EQ(crowd(outside, 1, 1.9s, 20ms), 8s);
  for (double now = 2; now < 17; ++now) crowd(outside, 1, seconds{now}, 20ms);
  EXPECT_EQ(crowd(outside, 1, 17s, 20ms), 1s);
}

TEST(retry_estimate, the_end_of_refusals_ends_the_wait) {
  retry_estimate outside;
  EXPECT_EQ(crowd(outside, 100'000, 0s, 20ms), retry_estimate::most);
  EXPECT_EQ(crowd(outside, 1, 2.9s, 20ms), retry_estimate::most);
  EXPECT_EQ(crowd(outside, 1, 6s, 20ms), 1s);
}

TEST(retry_estimate, who_goes_first_waits_for_his_like_alone) {
  retry_estimate outside;
  crowd(outside, 2'900, 0s, 20ms);
  EXPECT_EQ(crowd(outside, 187, 0s, 20ms, turn::first), 1s);
  EXPECT_EQ(crowd(outside, 188, 0s, 20ms, turn::first), 2s);
  EXPECT_EQ(crowd(outside, 1, 0s, 20ms), 18s);  // all others wait for both
}

TEST(retry_estimate, a_clock_read_before_another_caller_changes_nothing) {
  retry_estimate outside;
  crowd(outside, 1'000, 1s, 20ms);
  EXPECT_EQ(crowd(outside, 1, 0.4s, 20ms), 6s);
}

// ---- the loop: clients who do what they are told ----------------------------------------------------

struct loop {
  double clients;
  double hashes_per_second;
  double own_part = 1;      ///< what clients add at most, as a multiple of what they are told
  bool is_endless = false;  ///< for each who is in another comes, for two minutes
  double slow = 1;          ///< how much longer a hash takes in the first two seconds
};

struct course {
  double refusals_each = 0;
  double idle_share = 0;  ///< of the time until all were in
  double last_told = 0;
};

/// Everybody comes at once, to a pool whose queue is bounded by a forecast of one second as `job_pool`'s is.
course play(const loop& how) {
  std::mt19937_64 random{42};
  std::uniform_real_distribution<double> part(0, how.own_part);
  std::uniform_real_distribution<double> at_once(0, 0.2);
  std::priority_queue<double, std::vector<double>, std::greater<>> knocks;
  for (double i = 0; i < how.clients; ++i) knocks.push(at_once(random));
  retry_estimate outside;
  course seen;
  const double usual = 1 / how.hashes_per_second;
  std::uint64_t average_us = retry_estimate::averaged(0, static_cast<std::uint64_t>(usual * 1e6));
  double free_at = 0;
  double idle = 0;
  while (!knocks.empty() && knocks.top() < 120 + (how.is_endless ? 0 : 1e6)) {
    const double now = knocks.top();
    knocks.pop();
    const double per_hash = now < 2 ? usual * how.slow : usual;
    if ((free_at - now) * 4 / 3 >= 1) {
      const auto told = outside.refused(turn::usual, at(seconds{now}),
                                        std::chrono::duration<double, std::micro>(average_us));
      seen.last_told = static_cast<double>(told.count());
      seen.refusals_each += 1 / how.clients;
      knocks.push(now + seen.last_told * (1 + part(random)));
    } else {
      idle += std::max(now - free_at, 0.0);
      free_at = std::max(free_at, now) + per_hash;
      average_us = retry_estimate::averaged(average_us, static_cast<std::uint64_t>(per_hash * 1e6));
      if (how.is_endless) knocks.push(now);
    }
  }
  seen.idle_share = idle / free_at;
  return seen;
}

TEST(retry_estimate, a_storm_is_served_without_a_pause_and_with_few_refusals) {
  for (const loop how : {loop{6'000, 44}, {1'200, 9}, {300, 20}, {20'000, 500}}) {
    const course seen = play(how);
    EXPECT_LT(seen.refusals_each, 2.5) << how.clients << " at " << how.hashes_per_second;
    EXPECT_LT(seen.idle_share, 0.02) << how.clients << " at " << how.hashes_per_second;
  }
}

// With an average that follows at once the last are told twice the time, and threads wait for them.
TEST(retry_estimate, hashes_that_take_longer_while_the_crowd_comes_in_leave_nobody_behind) {
  const course seen = play({.clients = 3'000, .hashes_per_second = 65, .slow = 3});
  EXPECT_LT(seen.idle_share, 0.02);
  EXPECT_LT(seen.refusals_each, 3);
}

TEST(retry_estimate, the_time_of_a_hash_follows_shorter_ones_at_once_and_longer_ones_slowly) {
  EXPECT_EQ(retry_estimate::averaged(0, 12'800), 12'800U);
  EXPECT_EQ(retry_estimate::averaged(12'800, 25'600), 12'900U);
  EXPECT_EQ(retry_estimate::averaged(12'800, 6'400), 12'000U);
}

// Whole seconds bring them all at once, to a queue of three quarters of a second.
TEST(retry_estimate, clients_who_add_nothing_cost_more_and_are_served) {
  for (const loop how : {loop{6'000, 44, 0}, {1'200, 9, 0}, {300, 20, 0}, {20'000, 500, 0}}) {
    const course seen = play(how);
    EXPECT_LT(seen.refusals_each, 5) << how.clients << " at " << how.hashes_per_second;
    EXPECT_LT(seen.idle_share, 0.25) << how.clients << " at " << how.hashes_per_second;
  }
}

TEST(retry_estimate, a_crowd_that_stays_as_large_is_told_the_same) {
  const course seen = play({.clients = 2'000, .hashes_per_second = 44, .is_endless = true});
  EXPECT_NEAR(seen.last_told, 2'000 / (44 * 3.75), 1.5);
  EXPECT_LT(seen.idle_share, 0.001);
}

}  // namespace
}  // namespace pam::crypto::detail
