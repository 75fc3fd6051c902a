#include "server/crypto/password_hash.hpp"

#include <gtest/gtest.h>

namespace pam::crypto {
namespace {

constexpr hash_cost cheap{.memory_kib = 256, .passes = 2};

// Made with the reference implementation's command line tool (argon2 0~20171227), password "password".
constexpr const char* reference_id =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew";
constexpr const char* reference_id_short_salt =
    "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
constexpr const char* reference_id_two_lanes =
    "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHRzb21lc2FsdA$wRLS7mudUUQT+AYkMYeVIYbo8Zysq4DyCoI9VJ8RHSw";
constexpr const char* reference_i =
    "$argon2i$v=19$m=256,t=3,p=1$c29tZXNhbHRzb21lc2FsdA$ju7us0XNrHIy622jJrn8w1hFqEZ3/88FzQdz3ZrcA1k";
constexpr const char* reference_i_four_lanes =
    "$argon2i$v=19$m=256,t=2,p=4$c29tZXNhbHRzb21lc2FsdA$hm1l1tNont3fShn609QvNHhC6kimfVcZMQ2cthxONjQ";
constexpr const char* reference_version_16 =
    "$argon2id$v=16$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$7KAF0HfsgnkkjRQdVUoRQMenvDRRf51eLXqjTO3XJUs";
constexpr const char* reference_d =
    "$argon2d$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Bk4EobhGlmY3JFipRIMW+qVnwj7RdfeqfAtTKO/ZsHo";

secret password(std::string_view text = "password") {
  return secret{text};
}

verification check(const std::string& stored, std::string_view text = "password", hash_cost cost = cheap) {
  const auto found = verify_password(password(text), stored, cost);
  EXPECT_TRUE(found.has_value()) << stored << ": " << found.error().detail;
  return found.has_value() ? *found : verification{};
}

errc refusal_of(const std::string& stored, hash_cost cost = cheap) {
  const auto found = verify_password(password(), stored, cost);
  EXPECT_TRUE(found.has_error()) << stored;
  return found.has_error() ? found.error().code : errc::failure;
}

TEST(password_hash, a_hash_is_a_phc_string_of_the_asked_cost) {
  const auto made = hash_password(password(), cheap);

  ASSERT_TRUE(made.has_value());
  EXPECT_TRUE(made->starts_with("$argon2id$v=19$m=256,t=2,p=1$")) << *made;
}

TEST(password_hash, the_right_password_matches_and_no_other) {
  const auto made = hash_password(password("correct horse"), cheap);

  EXPECT_TRUE(check(*made, "correct horse").matches);
  EXPECT_FALSE(check(*made, "correct horsf").matches);
  EXPECT_FALSE(check(*made, "").matches);
  EXPECT_FALSE(check(*made, "correct horse ").matches);
}

TEST(password_hash, two_hashes_of_one_password_differ) {
  EXPECT_NE(*hash_password(password(), cheap), *hash_password(password(), cheap));
}

TEST(password_hash, all_1024_bytes_of_a_password_count) {
  const std::string text(1024, 'x');
  const auto made = hash_password(secret{std::string_view{text}}, cheap);
  std::string other = text;
  other.back() = 'y';

  EXPECT_TRUE(check(*made, text).matches);
  EXPECT_FALSE(check(*made, other).matches);
}

TEST(password_hash, a_nul_byte_does_not_end_a_password) {
  const std::string text{"a\0b", 3};
  const auto made = hash_password(secret{std::string_view{text}}, cheap);

  EXPECT_TRUE(check(*made, text).matches);
  EXPECT_FALSE(check(*made, "a").matches);
}

TEST(password_hash, hashes_of_the_reference_implementation_verify) {
  for (const char* stored :
       {reference_id, reference_id_short_salt, reference_id_two_lanes, reference_i, reference_i_four_lanes}) {
    EXPECT_TRUE(check(stored).matches) << stored;
    EXPECT_FALSE(check(stored, "passwore").matches) << stored;
  }
}

TEST(password_hash, a_changed_tag_or_salt_does_not_match) {
  std::string changed{reference_id};
  changed[changed.size() - 5] = changed[changed.size() - 5] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(check(changed).matches);
  std::string salted{reference_id};
  salted[salted.find("c29t")] = 'd';
  EXPECT_FALSE(check(salted).matches);
}

TEST(password_hash, a_hash_at_or_above_the_pools_cost_needs_no_rehash) {
  EXPECT_FALSE(check(reference_id).needs_rehash);
  EXPECT_FALSE(check(reference_id, "password", {.memory_kib = 128, .passes = 1}).needs_rehash);
  EXPECT_FALSE(check(reference_id_two_lanes).needs_rehash);
}

TEST(password_hash, a_hash_below_the_pools_cost_or_of_another_scheme_needs_a_rehash) {
  EXPECT_TRUE(check(reference_id, "password", {.memory_kib = 257, .passes = 2}).needs_rehash);
  EXPECT_TRUE(check(reference_id, "password", {.memory_kib = 256, .passes = 3}).needs_rehash);
  EXPECT_TRUE(check(reference_i).needs_rehash);
}

TEST(password_hash, a_wrong_password_never_asks_for_a_rehash) {
  EXPECT_FALSE(check(reference_i, "wrong").needs_rehash);
}

TEST(password_hash, costs_above_eight_times_the_pools_are_refused) {
  EXPECT_EQ(refusal_of(reference_id, {.memory_kib = 31, .passes = 2}), errc::bad_hash);
  EXPECT_TRUE(check(reference_id, "password", {.memory_kib = 32, .passes = 2}).matches);
  const std::string many_passes =
      "$argon2id$v=19$m=256,t=17,p=1$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew";
  EXPECT_EQ(refusal_of(many_passes), errc::bad_hash);
  const std::string most =
      "$argon2id$v=19$m=4294967295,t=4294967295,p=1$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/"
      "3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew";
  EXPECT_EQ(refusal_of(most), errc::bad_hash);
}

TEST(password_hash, unknown_schemes_and_versions_are_refused) {
  EXPECT_EQ(refusal_of(reference_d), errc::bad_hash);
  EXPECT_EQ(refusal_of(reference_version_16), errc::bad_hash);
  EXPECT_EQ(refusal_of("$1$salt$qJH7.N4xYta3aEG/dfqo/0"), errc::bad_hash);
  EXPECT_EQ(refusal_of("plain text"), errc::bad_hash);
  EXPECT_EQ(refusal_of(""), errc::bad_hash);
}

TEST(password_hash, malformed_hashes_are_refused_and_never_just_do_not_match) {
  const std::string tail = "$c29tZXNhbHRzb21lc2FsdA$yrdGtGIZk/3JHsUHh5gLQUqQppLwvGjf4Z+cJbPLqew";
  for (const std::string& stored : {
           "$argon2id$v=19$m=0256,t=2,p=1" + tail,                                   // leading zero
           "$argon2id$v=19$m=256,t=0,p=1" + tail,                                    // no pass
           "$argon2id$v=19$m=256,t=2,p=0" + tail,                                    // no lane
           "$argon2id$v=19$m=15,t=2,p=2" + tail,                                     // less than 8 KiB a lane
           "$argon2id$v=19$m=256,t=2" + tail,                                        // a parameter missing
           "$argon2id$v=19$t=2,m=256,p=1" + tail,                                    // another order
           "$argon2id$m=256,t=2,p=1" + tail,                                         // no version
           "$argon2id$v=19$m=-256,t=2,p=1" + tail,                                   // a sign
           "$argon2id$v=19$m=99999999999,t=2,p=1" + tail,                            // out of range
           "$argon2id$v=19$m=256,t=2,p=1" + tail + "=",                              // padding
           "$argon2id$v=19$m=256,t=2,p=1" + tail + "$x",                             // something after
           std::string{"$argon2id$v=19$m=256,t=2,p=1$c29t$yrdGtGIZk/3JHsUHh5gLQQ"},  // salt too short
           std::string{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$yrdGtA"},  // tag too short
           std::string{"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA"},         // no tag
           "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + std::string(400, 'A'),
           std::string{"$argon2id$"},
           std::string{"$argon2id$v="},
       }) {
    EXPECT_EQ(refusal_of(stored), errc::bad_hash) << stored;
  }
}

}  // namespace
}  // namespace pam::crypto
