#include "load-tests/swarm/population.hpp"

#include <set>

#include <gtest/gtest.h>

namespace pam::load {
namespace {

constexpr std::chrono::milliseconds epoch{1'790'000'000'000};

crypto::key_ring fresh_keys() {
  return crypto::key_ring::parse(crypto::key_ring::generate().value()).value();
}

TEST(population, the_same_number_is_always_the_same_user) {
  const crypto::key_ring keys = fresh_keys();
  const population seeding(epoch, keys, "https://x/auth/v1");
  const population playing(epoch, keys, "https://x/auth/v1");
  EXPECT_EQ(seeding.at(7).session, playing.at(7).session);
  EXPECT_EQ(crypto::hash_of(seeding.first_token(seeding.at(7))),
            crypto::hash_of(playing.first_token(playing.at(7))));
}

TEST(population, users_share_nothing) {
  const crypto::key_ring keys = fresh_keys();
  const population people(epoch, keys, "https://x/auth/v1");
  std::set<std::string> ids;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const seat one = people.at(i);
    ids.insert({to_text(one.account), to_text(one.session), to_text(one.identity), one.email});
  }
  EXPECT_EQ(ids.size(), 4000U);
}

TEST(population, ids_are_version_7_of_the_epoch) {
  const crypto::key_ring keys = fresh_keys();
  const std::string text = to_text(population(epoch, keys, "https://x/auth/v1").at(0).session);
  EXPECT_EQ(text.substr(0, 13), "01a0c450-6c00");
  EXPECT_EQ(text[14], '7');
  EXPECT_NE(std::string("89ab").find(text[19]), std::string::npos);
}

TEST(population, the_server_takes_its_tokens_for_its_own) {
  const crypto::key_ring keys = fresh_keys();
  const population people(epoch, keys, "https://x/auth/v1");
  const seat who = people.at(3);
  EXPECT_TRUE(keys.is_genuine(people.first_token(who)));
  const std::string token = people.access_token(who, std::chrono::seconds{1'000}, std::chrono::seconds{300});
  crypto::jwt_expectation expected;
  expected.issuer = "https://x/auth/v1";
  expected.audience = "authenticated";
  expected.now = std::chrono::system_clock::time_point{std::chrono::seconds{1'200}};
  EXPECT_TRUE(keys.verify(token, expected).has_value());
}

}  // namespace
}  // namespace pam::load
