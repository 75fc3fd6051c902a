#include "server/auth/refresh_judge.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

using namespace std::chrono_literals;
using pam::auth::judge;
using pam::auth::judged_row;
using pam::auth::session_policy;
using pam::auth::timestamp;
using pam::auth::verdict;

namespace {

const timestamp now{1'700'000'000s};

judged_row live_row(std::uint32_t generation, std::chrono::seconds since_rotation) {
  judged_row row;
  row.generation = generation;
  row.refreshed_at = now - since_rotation;
  row.expires_at = now + 24h;
  row.absolute_expires_at = now + 48h;
  return row;
}

struct judgement {
  const char* name;
  std::uint32_t row_generation;
  std::uint32_t presented;
  std::chrono::seconds since_rotation;
  std::int16_t repeats;
  verdict expected;
};

class judge_table : public testing::TestWithParam<judgement> {};

TEST_P(judge_table, follows_the_rules_of_the_compatible_profile) {
  const judgement& row = GetParam();
  judged_row stored = live_row(row.row_generation, row.since_rotation);
  stored.repeats = row.repeats;

  EXPECT_EQ(judge(stored, row.presented, true, now, session_policy{}), row.expected);
}

INSTANTIATE_TEST_SUITE_P(
    all, judge_table,
    testing::Values(judgement{"current_token_raced", 5, 5, 1s, 0, verdict::rotate_again},
                    judgement{"parent_at_once", 5, 4, 0s, 0, verdict::repeat},
                    judgement{"parent_at_the_end_of_the_reuse_interval", 5, 4, 10s, 0, verdict::repeat},
                    judgement{"parent_in_the_reuse_interval_ignores_used_up_repeats", 5, 4, 9s, 3,
                              verdict::repeat},
                    judgement{"parent_just_after_the_reuse_interval", 5, 4, 11s, 0, verdict::repeat_counted},
                    judgement{"parent_third_repeat", 5, 4, 60s, 2, verdict::repeat_counted},
                    judgement{"parent_fourth_repeat", 5, 4, 60s, 3, verdict::theft},
                    judgement{"parent_at_the_end_of_the_window", 5, 4, 300s, 0, verdict::repeat_counted},
                    judgement{"parent_after_the_window", 5, 4, 301s, 0, verdict::theft},
                    judgement{"grandparent_in_the_reuse_interval", 5, 3, 10s, 0, verdict::repeat},
                    judgement{"grandparent_after_the_reuse_interval", 5, 3, 11s, 0, verdict::theft},
                    judgement{"three_generations_back_at_once", 5, 2, 0s, 0, verdict::theft},
                    judgement{"first_token_much_later", 5, 0, 0s, 0, verdict::theft},
                    judgement{"one_ahead_after_a_failover", 5, 6, 100s, 0, verdict::resync},
                    judgement{"many_ahead_after_a_restore", 5, 900, 100s, 0, verdict::resync},
                    judgement{"row_refreshed_in_our_future", 5, 4, -30s, 0, verdict::repeat}),
    [](const auto& row) { return std::string{row.param.name}; });

TEST(judge, missing_row_is_not_found_whatever_else_holds) {
  EXPECT_EQ(judge(std::nullopt, 3, true, now, session_policy{}), verdict::not_found);
}

TEST(judge, unproven_salt_learns_nothing_about_an_ended_session) {
  judged_row row = live_row(5, 1s);
  row.is_revoked = true;

  EXPECT_EQ(judge(row, 1, false, now, session_policy{}), verdict::unproven);
}

TEST(judge, unproven_salt_never_ends_a_session) {
  for (std::uint32_t generation : {0U, 3U, 4U, 5U, 6U, 4'000'000'000U}) {
    EXPECT_EQ(judge(live_row(5, 1s), generation, false, now, session_policy{}), verdict::unproven)
        << generation;
  }
}

TEST(judge, revoked_session_is_ended_even_for_its_current_token) {
  judged_row row = live_row(5, 1s);
  row.is_revoked = true;

  EXPECT_EQ(judge(row, 5, true, now, session_policy{}), verdict::ended);
}

TEST(judge, session_of_a_deleted_account_is_ended) {
  judged_row row = live_row(5, 1s);
  row.is_account_gone = true;

  EXPECT_EQ(judge(row, 5, true, now, session_policy{}), verdict::ended);
}

TEST(judge, idle_end_is_exclusive) {
  judged_row row = live_row(5, 1s);
  row.expires_at = now;

  EXPECT_EQ(judge(row, 5, true, now, session_policy{}), verdict::expired);
}

TEST(judge, absolute_end_holds_when_the_idle_end_is_later) {
  judged_row row = live_row(5, 1s);
  row.absolute_expires_at = now - 1us;

  EXPECT_EQ(judge(row, 5, true, now, session_policy{}), verdict::expired);
}

TEST(judge, banned_account_is_told_so_only_with_a_proven_token) {
  judged_row row = live_row(5, 1s);
  row.is_account_banned = true;

  EXPECT_EQ(judge(row, 5, true, now, session_policy{}), verdict::banned);
  EXPECT_EQ(judge(row, 5, false, now, session_policy{}), verdict::unproven);
}

TEST(judge, strict_profile_takes_every_repeat_for_theft) {
  session_policy strict;
  strict.reuse_interval = 0s;
  strict.lost_response_window = 0s;

  EXPECT_EQ(judge(live_row(5, 0s), 4, true, now, strict), verdict::theft);
  EXPECT_EQ(judge(live_row(5, 0s), 3, true, now, strict), verdict::theft);
  EXPECT_EQ(judge(live_row(5, -5s), 4, true, now, strict), verdict::theft);
  EXPECT_EQ(judge(live_row(5, 0s), 6, true, now, strict), verdict::resync);
}

}  // namespace
