#include "server/crypto/refresh_token.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "server/crypto/key_ring.hpp"
#include "server/crypto/tests/support.hpp"

namespace pam::crypto {
namespace {

using test::key;
using test::key_set;

boost::uuids::uuid uuid_of(std::uint8_t byte) {
  boost::uuids::uuid id = {};
  std::ranges::fill(id.data, byte);
  return id;
}
const boost::uuids::uuid account = uuid_of(0x11);
const boost::uuids::uuid session = uuid_of(0x22);

std::string hex(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const std::byte each : bytes) {
    const auto value = std::to_integer<std::size_t>(each);
    text.append({digits[value >> 4], digits[value & 15]});
  }
  return text;
}

/// A ring whose refresh keys are these.
key_ring ring_with(std::initializer_list<std::string> refresh_keys) {
  std::string set = key_set({key(test::ec_members, "user"), key(test::other_ec_members, "machine")});
  set.resize(set.size() - 2);
  for (const std::string& each : refresh_keys) set.append(",").append(each);
  return test::ring_of(set + "]}");
}
std::string refresh_key(std::string_view kid, std::string_view state,
                        std::string_view members = test::refresh_members) {
  return key(members, "refresh", state, "\"kid\":\"" + std::string{kid} + "\"");
}
key_ring plain_ring() {
  return ring_with({refresh_key("7", "current")});
}

constexpr std::string_view third_refresh_members =
    R"("kty":"oct","k":"BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA")";

refresh_token known_token() {
  refresh_token seen;
  seen.account = account;
  seen.session = session;
  seen.salt.fill(std::byte{0xAA});
  return plain_ring().derive(seen, 3);
}

TEST(refresh_token, the_secret_is_the_documented_hmac) {
  // HMAC-SHA256(00..1f, "pam refresh v1" || 16*AA || 16*11 || 16*22 || 00000003), made with Python's hmac.
  EXPECT_EQ(hex(known_token().secret), "5ae68cbb8b7e65afc3ce9d6060d9232b");
}

TEST(refresh_token, the_image_has_the_documented_layout) {
  EXPECT_EQ(hex(image_of(known_token())),
            "01"
            "000007"
            "11111111111111111111111111111111"
            "22222222222222222222222222222222"
            "00000003"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "5ae68cbb8b7e65afc3ce9d6060d9232b");
}

TEST(refresh_token, the_stored_hash_is_sha_256_of_the_image) {
  EXPECT_EQ(hex(hash_of(known_token())), "348d56720353af507b689a48dcc87de7ddb795bc48d9f3717980dcf3b507af8d");
}

TEST(refresh_token, every_image_survives_parsing) {
  refresh_token_image image;
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::byte>(i * 37 + 5);
  EXPECT_EQ(image_of(parse(image)), image);
}

TEST(refresh_token, the_first_token_of_a_session_is_genuine_and_of_generation_0) {
  const auto ring = plain_ring();

  const auto token = ring.first_refresh_token(account, session);

  EXPECT_EQ(token.account, account);
  EXPECT_EQ(token.session, session);
  EXPECT_EQ(token.generation, 0U);
  EXPECT_EQ(token.key_id, 7U);
  EXPECT_TRUE(ring.is_genuine(token));
}

TEST(refresh_token, every_session_gets_a_fresh_salt) {
  const auto ring = plain_ring();
  const auto a = ring.first_refresh_token(account, session);
  const auto b = ring.first_refresh_token(account, session);
  EXPECT_NE(a.salt, b.salt);
  EXPECT_NE(a.secret, b.secret);
}

TEST(refresh_token, a_successor_keeps_salt_and_session_and_is_always_the_same) {
  const auto ring = plain_ring();
  const auto first = ring.first_refresh_token(account, session);

  const auto next = ring.derive(first, 1);

  EXPECT_EQ(next.salt, first.salt);
  EXPECT_EQ(next.session, first.session);
  EXPECT_EQ(next.generation, 1U);
  EXPECT_NE(next.secret, first.secret);
  EXPECT_EQ(image_of(next), image_of(ring.derive(first, 1)));
  EXPECT_EQ(image_of(ring.derive(next, 0)), image_of(first));
  EXPECT_TRUE(ring.is_genuine(next));
}

TEST(refresh_token, any_flipped_bit_makes_it_a_forgery) {
  const auto ring = plain_ring();
  refresh_token_image image = image_of(ring.derive(ring.first_refresh_token(account, session), 41));
  ASSERT_TRUE(ring.is_genuine(parse(image)));
  for (std::size_t bit = 0; bit < image.size() * 8; ++bit) {
    const auto mask = static_cast<std::byte>(1 << (bit % 8));
    image[bit / 8] ^= mask;
    EXPECT_FALSE(ring.is_genuine(parse(image))) << "bit " << bit;
    image[bit / 8] ^= mask;
  }
}

TEST(refresh_token, a_token_under_another_key_of_the_same_id_is_a_forgery) {
  const auto theirs = ring_with({refresh_key("7", "current", test::other_refresh_members)});
  EXPECT_FALSE(plain_ring().is_genuine(theirs.first_refresh_token(account, session)));
}

TEST(refresh_token, a_token_under_a_key_id_nobody_holds_is_a_forgery) {
  auto token = plain_ring().first_refresh_token(account, session);
  token.key_id = 8;
  EXPECT_FALSE(plain_ring().is_genuine(token));
  token.key_id = 7 + (1U << 24);
  EXPECT_FALSE(plain_ring().is_genuine(token));
}

TEST(refresh_token, after_a_rotation_old_tokens_are_genuine_and_successors_use_the_new_key) {
  const auto old_token = plain_ring().first_refresh_token(account, session);
  const auto rotated =
      ring_with({refresh_key("7", "previous"), refresh_key("9", "current", test::other_refresh_members)});

  EXPECT_TRUE(rotated.is_genuine(old_token));
  EXPECT_EQ(rotated.derive(old_token, 1).key_id, 9U);
  EXPECT_TRUE(rotated.is_genuine(rotated.derive(old_token, 1)));
  EXPECT_EQ(rotated.first_refresh_token(account, session).key_id, 9U);
}

TEST(refresh_token, the_successor_made_before_a_rotation_can_be_made_again) {
  const auto before = plain_ring();
  const auto parent = before.first_refresh_token(account, session);
  const auto successor = before.derive(parent, 1);
  const auto rotated =
      ring_with({refresh_key("7", "previous"), refresh_key("9", "current", test::other_refresh_members)});

  EXPECT_EQ(rotated.refresh_keys(), 2U);
  EXPECT_NE(image_of(rotated.derive(parent, 1)), image_of(successor));
  EXPECT_EQ(image_of(rotated.derive(parent, 1, 1)), image_of(successor));
}

TEST(refresh_token, a_successor_made_two_rotations_ago_can_be_made_again) {
  const auto before = plain_ring();
  const auto parent = before.first_refresh_token(account, session);
  const auto successor = before.derive(parent, 1);
  const auto rotated =
      ring_with({refresh_key("8", "previous", third_refresh_members),
                 refresh_key("9", "current", test::other_refresh_members), refresh_key("7", "previous")});

  std::set<std::uint32_t> tried;
  bool is_found = false;
  for (std::size_t nth = 0; nth < rotated.refresh_keys(); ++nth) {
    const auto made = rotated.derive(parent, 1, nth);
    tried.insert(made.key_id);
    is_found = is_found || image_of(made) == image_of(successor);
  }

  EXPECT_TRUE(is_found);
  EXPECT_EQ(tried, (std::set<std::uint32_t>{7, 8, 9}));
}

TEST(refresh_token, a_next_key_signs_by_itself_once_its_moment_has_come) {
  const auto soon = std::chrono::system_clock::now() + std::chrono::hours{1};
  const auto unix_of = [](auto when) {
    return std::to_string(std::chrono::floor<std::chrono::seconds>(when).time_since_epoch().count());
  };
  const auto next = [&](const std::string& from) {
    return key(test::other_refresh_members, "refresh", "next", R"("kid":"9","pam_signs_from":)" + from);
  };
  const auto early = ring_with({refresh_key("7", "current"), next(unix_of(soon))});
  const auto late = ring_with({refresh_key("7", "current"), next("1700000000")});

  const auto old_token = early.first_refresh_token(account, session);
  EXPECT_EQ(old_token.key_id, 7U);
  EXPECT_EQ(late.first_refresh_token(account, session).key_id, 9U);
  EXPECT_TRUE(late.is_genuine(old_token));
  EXPECT_TRUE(early.is_genuine(late.derive(old_token, 1)));
}

TEST(refresh_token, a_next_key_verifies_but_neither_signs_nor_counts_as_previous) {
  const auto coming =
      ring_with({refresh_key("9", "next", test::other_refresh_members), refresh_key("7", "current")});
  const auto ahead = ring_with({refresh_key("9", "current", test::other_refresh_members)});

  EXPECT_TRUE(coming.is_genuine(ahead.first_refresh_token(account, session)));
  EXPECT_EQ(coming.first_refresh_token(account, session).key_id, 7U);
}

TEST(refresh_token, a_key_that_is_gone_makes_its_tokens_forgeries) {
  const auto old_token = plain_ring().first_refresh_token(account, session);
  EXPECT_FALSE(ring_with({refresh_key("9", "current", test::other_refresh_members)}).is_genuine(old_token));
}

}  // namespace
}  // namespace pam::crypto
