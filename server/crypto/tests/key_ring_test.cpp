#include "server/crypto/key_ring.hpp"

#include <gmock/gmock.h>

#include <thread>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/tests/support.hpp"

namespace pam::crypto {
namespace {

using test::expectation;
using test::good_claims;
using test::key;
using test::key_set;
using ::testing::HasSubstr;
using ::testing::Not;

std::string header_of(const std::string& jwt) {
  return *detail::from_base64url(jwt.substr(0, jwt.find('.')));
}

TEST(key_ring, a_signed_token_verifies_and_gives_its_claims_back) {
  for (const std::string_view members :
       {test::ec_members, test::rsa_members, test::okp_members, test::hmac_members}) {
    const auto ring = test::ring_of(test::standard_set(members));
    const auto jwt = ring.sign(key_use::user, good_claims());
    ASSERT_TRUE(jwt.has_value());

    const auto verified = ring.verify(*jwt, expectation());

    ASSERT_TRUE(verified.has_value()) << verified.error().detail;
    EXPECT_EQ(verified->payload, good_claims());
    EXPECT_EQ(verified->use, key_use::user);
    EXPECT_EQ(verified->key_id, "u");
  }
}

TEST(key_ring, the_header_names_algorithm_key_and_type) {
  const auto ring = test::standard_ring();
  EXPECT_EQ(header_of(*ring.sign(key_use::user, good_claims())), R"({"alg":"ES256","kid":"u","typ":"JWT"})");
}

TEST(key_ring, a_machine_token_is_signed_by_the_machine_key_and_told_apart) {
  const auto ring = test::standard_ring();

  const auto verified = ring.verify(*ring.sign(key_use::machine, good_claims()), expectation());

  ASSERT_TRUE(verified.has_value());
  EXPECT_EQ(verified->use, key_use::machine);
  EXPECT_EQ(verified->key_id, "m");
}

TEST(key_ring, a_token_too_long_to_be_accepted_is_not_made) {
  const auto ring = test::standard_ring();
  const auto claims_of = [](std::size_t padding) {
    return test::claims_with("pad", "\"" + std::string(padding, 'x') + "\"");
  };

  EXPECT_TRUE(ring.verify(*ring.sign(key_use::user, claims_of(5'500)), expectation()).has_value());
  EXPECT_EQ(ring.sign(key_use::user, claims_of(6'200)).error().code, errc::bad_token);
}

TEST(key_ring, after_a_rotation_old_tokens_verify_and_new_ones_name_the_new_key) {
  const std::string machine = key(test::rsa_members, "machine", "current", R"("kid":"m")");
  const std::string refresh = key(test::refresh_members, "refresh", "current", R"("kid":"7")");
  const auto before = test::ring_of(
      key_set({key(test::ec_members, "user", "current", R"("kid":"old")"),
               key(test::other_ec_members, "user", "next", R"("kid":"new")"), machine, refresh}));
  const auto after = test::ring_of(
      key_set({key(test::ec_members, "user", "previous", R"("kid":"old")"),
               key(test::other_ec_members, "user", "current", R"("kid":"new")"), machine, refresh}));

  const auto old_token = *before.sign(key_use::user, good_claims());
  const auto new_token = *after.sign(key_use::user, good_claims());

  EXPECT_THAT(header_of(old_token), HasSubstr("old"));
  EXPECT_THAT(header_of(new_token), HasSubstr("new"));
  EXPECT_TRUE(after.verify(old_token, expectation()).has_value());
  // A process that has not reloaded yet knows the next key already.
  EXPECT_TRUE(before.verify(new_token, expectation()).has_value());
}

TEST(key_ring, the_published_set_holds_user_keys_and_no_private_member) {
  const auto ring =
      test::ring_of(key_set({key(test::ec_members, "user", "previous", R"("kid":"old")"),
                             key(test::rsa_members, "user", "current", R"("kid":"now")"),
                             key(test::okp_members, "user", "next", R"("kid":"soon")"),
                             key(test::hmac_members, "user", "previous", R"("kid":"legacy")"),
                             key(test::other_ec_members, "machine", "current", R"("kid":"m")"),
                             key(test::refresh_members, "refresh", "current", R"("kid":"7")")}));
  const std::string& jwks = ring.public_jwks();

  for (const char* kid : {"old", "now", "soon"})
    EXPECT_THAT(jwks, HasSubstr("\"kid\":\"" + std::string{kid} + "\""));
  for (const char* hidden : {"legacy", "\"kid\":\"m\"", "\"kid\":\"7\"", "oct",
                             "\"k\":", "\"d\":", "\"p\":", "\"q\":", "\"qi\":", "pam_"}) {
    EXPECT_THAT(jwks, Not(HasSubstr(hidden)));
  }
}

TEST(key_ring, the_published_form_of_a_key_is_exact) {
  EXPECT_EQ(test::standard_ring().public_jwks(),
            R"({"keys":[{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
            R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",)"
            R"("alg":"ES256","kid":"u","use":"sig","key_ops":["verify"]}]})");
}

TEST(key_ring, a_generated_set_of_every_algorithm_loads_signs_and_verifies) {
  for (const algorithm alg : {algorithm::es256, algorithm::rs256, algorithm::eddsa, algorithm::hs256}) {
    const auto text = key_ring::generate(alg);
    ASSERT_TRUE(text.has_value());
    const auto ring = key_ring::parse(*text);
    ASSERT_TRUE(ring.has_value()) << ring.error().detail;

    for (const key_use use : {key_use::user, key_use::machine}) {
      const auto jwt = ring->sign(use, good_claims());
      ASSERT_TRUE(jwt.has_value());
      EXPECT_EQ(ring->verify(*jwt, expectation())->use, use);
    }
  }
}

TEST(key_ring, generated_machine_keys_are_never_hs256) {
  const auto ring = test::ring_of(*key_ring::generate(algorithm::hs256));
  EXPECT_THAT(header_of(*ring.sign(key_use::user, good_claims())), HasSubstr("HS256"));
  EXPECT_THAT(header_of(*ring.sign(key_use::machine, good_claims())), HasSubstr("ES256"));
}

TEST(key_ring, two_generated_sets_share_nothing) {
  const auto first = test::ring_of(*key_ring::generate());
  const auto second = test::ring_of(*key_ring::generate());

  EXPECT_NE(first.public_jwks(), second.public_jwks());
  EXPECT_FALSE(second.verify(*first.sign(key_use::user, good_claims()), expectation()).has_value());
  EXPECT_FALSE(second.is_genuine(first.first_refresh_token({}, {})));
}

TEST(key_ring, threads_share_one_ring) {
  const auto ring = test::standard_ring();
  std::atomic<int> good{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 50; ++n) {
        const auto jwt = ring.sign(key_use::user, good_claims());
        if (jwt.has_value() && ring.verify(*jwt, expectation()).has_value()) ++good;
        if (ring.is_genuine(ring.first_refresh_token({}, {}))) ++good;
      }
    });
  }
  for (auto& each : threads) each.join();
  EXPECT_EQ(good, 400);
}

}  // namespace
}  // namespace pam::crypto
