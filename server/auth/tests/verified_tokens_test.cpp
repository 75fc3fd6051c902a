#include "server/auth/verified_tokens.hpp"

#include <string>

#include <gtest/gtest.h>

namespace pam::auth {
namespace {

bearer somebody(std::uint8_t number) {
  bearer who;
  who.key.account.data[15] = number;
  who.key.session.data[15] = number;
  who.issued_at = number;
  return who;
}

TEST(verified_tokens, gives_back_who_was_kept) {
  verified_tokens kept;
  kept.keep("token-1", somebody(1), 100);
  kept.keep("token-2", somebody(2), 100);

  ASSERT_TRUE(kept.find("token-1", 99));
  EXPECT_EQ(kept.find("token-1", 99)->key.account, somebody(1).key.account);
  EXPECT_EQ(kept.find("token-2", 99)->issued_at, 2);
}

TEST(verified_tokens, an_expired_token_is_not_found) {
  verified_tokens kept;
  kept.keep("token", somebody(1), 100);
  EXPECT_TRUE(kept.find("token", 99));
  EXPECT_FALSE(kept.find("token", 100));
}

TEST(verified_tokens, a_token_that_differs_in_one_byte_is_a_stranger) {
  verified_tokens kept;
  kept.keep(std::string(900, 'a'), somebody(1), 100);
  EXPECT_FALSE(kept.find(std::string(899, 'a') + "b", 0));
  EXPECT_FALSE(kept.find(std::string(899, 'a'), 0));
  EXPECT_FALSE(kept.find("", 0));
}

TEST(verified_tokens, three_places_a_user_hold_what_users_present) {
  constexpr int users = 5'000;
  verified_tokens kept(3 * users);
  // Everybody refreshed once: the tokens before have not expired yet, and must not push out the new ones.
  for (int i = 0; i < 2 * users; ++i) kept.keep("token-" + std::to_string(i), somebody(1), 1'000 + i);
  int found = 0;
  for (int i = users; i < 2 * users; ++i) found += kept.find("token-" + std::to_string(i), 0) ? 1 : 0;
  EXPECT_GE(found, users * 98 / 100);
}

TEST(verified_tokens, a_token_without_an_expiry_is_not_kept) {
  verified_tokens kept;
  kept.keep("token", somebody(1), 0);
  EXPECT_FALSE(kept.find("token", -1));
}

TEST(verified_tokens, other_keys_mean_that_nothing_is_known_any_more) {
  verified_tokens kept;
  ASSERT_FALSE(kept.find("token", 0, 1));
  kept.keep("token", somebody(1), 100, 1);
  ASSERT_TRUE(kept.find("token", 0, 1));

  EXPECT_FALSE(kept.find("token", 0, 2));
  EXPECT_FALSE(kept.find("token", 0, 2)) << "nor later";
}

TEST(verified_tokens, what_was_verified_under_the_keys_before_is_not_kept) {
  verified_tokens kept;
  ASSERT_FALSE(kept.find("token", 0, 2));

  kept.keep("token", somebody(1), 100, 1);

  EXPECT_FALSE(kept.find("token", 0, 2));
}

TEST(verified_tokens, the_one_that_expires_first_gives_way) {
  verified_tokens kept(4);  // one set
  for (int i = 1; i <= 4; ++i) kept.keep("token-" + std::to_string(i), somebody(1), 100 * i);

  kept.keep("token-5", somebody(5), 500);

  EXPECT_FALSE(kept.find("token-1", 0));
  for (int i = 2; i <= 5; ++i) EXPECT_TRUE(kept.find("token-" + std::to_string(i), 0)) << i;
}

TEST(verified_tokens, holds_no_more_than_its_places) {
  verified_tokens kept(64);
  for (int i = 0; i < 1000; ++i) kept.keep(std::to_string(i), somebody(1), 1000 + i);
  int found = 0;
  for (int i = 0; i < 1000; ++i) found += kept.find(std::to_string(i), 0) ? 1 : 0;
  EXPECT_LE(found, 64);
  EXPECT_GE(found, 32);
}

}  // namespace
}  // namespace pam::auth
