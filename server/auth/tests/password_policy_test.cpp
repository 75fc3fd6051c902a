#include "server/auth/password_policy.hpp"

#include <gmock/gmock.h>

#include "server/auth/common_passwords.hpp"

namespace pam::auth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view email = "anna.schmidt@acme-widgets.example";
constexpr std::string_view good = "violet-canoe-83";

auto reasons(std::string_view password, password_policy policy = {}) {
  return check_password(password, email, policy).reasons;
}

TEST(password_policy, an_unusual_password_is_accepted) {
  for (const std::string_view text :
       {good, std::string_view{"kq7#Lw0z"}, std::string_view{"gelbe Boote fliegen nie"},
        std::string_view{"\xd0\xba\xd0\xbb\xd1\x8e\xd1\x87 \xd0\xb4\xd0\xbe\xd0\xbc\xd0\xb0"}}) {
    EXPECT_THAT(reasons(text), IsEmpty()) << text;
  }
}

TEST(password_policy, there_are_no_composition_rules) {
  EXPECT_THAT(reasons("zvgkwmrt"), IsEmpty());
  EXPECT_THAT(reasons("83047162"), IsEmpty());
  EXPECT_THAT(reasons("        q       z"), IsEmpty());
}

TEST(password_policy, eight_characters_are_the_default_minimum) {
  EXPECT_THAT(reasons("kq7#Lw0"), ElementsAre("length"));
  EXPECT_THAT(reasons("kq7#Lw0z"), IsEmpty());
  EXPECT_THAT(reasons("violet-canoe-8", {.min_length = 15}), ElementsAre("length"));
  EXPECT_THAT(reasons(good, {.min_length = 15}), IsEmpty());
  EXPECT_THAT(reasons(""), ElementsAre("length"));
}

TEST(password_policy, code_points_are_counted_not_bytes) {
  const std::string seven =
      "\xf0\x9f\x9a\xb2\xf0\x9f\x8c\xb5\xf0\x9f\x8e\xb7\xf0\x9f\xa6\x91\xf0\x9f\xa7\xad\xf0\x9f\xaa\x90\xf0"
      "\x9f\xab\x96";
  EXPECT_THAT(reasons(seven), ElementsAre("length"));
  EXPECT_THAT(reasons(seven + "\xf0\x9f\x9b\xb6"), IsEmpty());
}

TEST(password_policy, code_points_are_counted_after_composition) {
  // Four letters, each with a combining accent: eight code points as typed, four as stored.
  EXPECT_THAT(reasons("a\xcc\x81"
                      "e\xcc\x80"
                      "o\xcc\x82"
                      "u\xcc\x88"),
              ElementsAre("length"));
}

TEST(password_policy, both_ways_to_type_an_accent_are_one_password) {
  EXPECT_EQ(normalize_password("caf\x65\xcc\x81-xyz").view(), normalize_password("caf\xc3\xa9-xyz").view());
  EXPECT_EQ(check_password("caf\x65\xcc\x81-zebra-9", email, {}).normalized.view(), "caf\xc3\xa9-zebra-9");
}

TEST(password_policy, compatibility_forms_stay_different) {
  EXPECT_NE(normalize_password("\xef\xac\x81x").view(), normalize_password("fix").view());
}

TEST(password_policy, up_to_1024_bytes_count_to_the_last) {
  std::string longest;
  while (longest.size() < 1024) longest += std::to_string(longest.size() * 7919);
  longest.resize(1024);
  EXPECT_THAT(reasons(longest), IsEmpty());
  EXPECT_EQ(check_password(longest, email, {}).normalized.view(), longest);
  EXPECT_THAT(reasons(longest + "x"), ElementsAre("length"));
}

TEST(password_policy, text_that_grows_beyond_the_bound_is_too_long) {
  std::string text;  // U+0958 composes to two code points of three bytes
  for (int i = 0; i < 300; ++i) text += "\xe0\xa5\x98";
  EXPECT_THAT(reasons(text), ElementsAre("length"));
}

TEST(password_policy, control_characters_and_invalid_utf8_are_refused) {
  for (const std::string& text :
       {std::string{"violet\0canoe", 12}, std::string{"violet\tcanoe"}, std::string{"violet\ncanoe"},
        std::string{"violet\x7f"
                    "canoe"},
        std::string{"violet\xc2\x85"
                    "canoe"},
        std::string{"violet\xff"
                    "canoe"}}) {
    EXPECT_THAT(reasons(text), ElementsAre("characters"));
  }
}

TEST(password_policy, invalid_utf8_is_kept_as_it_is_for_a_sign_in) {
  EXPECT_EQ(normalize_password("\xff\xfe").view(), "\xff\xfe");
}

TEST(password_policy, the_block_list_is_large_sorted_and_lower_case) {
  EXPECT_GE(common_passwords.size(), 1'000U);
  for (const std::string_view word : common_passwords) {
    EXPECT_TRUE(std::ranges::none_of(word, [](char c) { return c >= 'A' && c <= 'Z'; })) << word;
  }
}

TEST(password_policy, every_listed_password_is_refused) {
  for (const std::string_view word : common_passwords) {
    EXPECT_THAT(reasons(word, {.min_length = 1}), ElementsAre("pwned")) << word;
  }
}

TEST(password_policy, case_and_digits_for_letters_hide_no_common_password) {
  for (const char* text :
       {"PASSWORD", "Password", "pAsSwOrD", "P@ssw0rd", "p4$$w0rd", "Sunsh1ne", "W3lc0me!", "1l0veyou"}) {
    EXPECT_THAT(reasons(text), ElementsAre("pwned")) << text;
  }
}

TEST(password_policy, a_short_suffix_hides_no_common_password) {
  for (const char* text : {"sunshine1", "Summer2026", "welcome99!", "dragon!!!!", "Letmein#1"}) {
    EXPECT_THAT(reasons(text), ElementsAre("pwned")) << text;
  }
  EXPECT_THAT(reasons("sunshine83047"), IsEmpty());
}

TEST(password_policy, repeats_and_runs_are_refused) {
  for (const char* text : {"aaaaaaaa", "\x20\x20\x20\x20\x20\x20\x20\x20", "abababab", "xyzxyzxyz",
                           "wq7zwq7z", "bcdefghij", "jihgfedcb", "sunshinesunshine"}) {
    EXPECT_THAT(reasons(text), ElementsAre("pwned")) << text;
  }
}

TEST(password_policy, the_parts_of_the_own_address_are_refused) {
  for (const char* text :
       {"anna.schmidt", "Schmidt1", "schmidt99", "annaschmidt", "anna.schmidt@acme-widgets.example",
        "widgets2026", "schmidtpassword", "xschmidt"}) {
    EXPECT_THAT(reasons(text), ElementsAre("pwned")) << text;
  }
}

TEST(password_policy, the_own_address_beside_enough_else_is_accepted) {
  EXPECT_THAT(reasons("schmidt quietly juggles"), IsEmpty());
  EXPECT_THAT(check_password("schmidt99", "someone@else.example", {}).reasons, IsEmpty());
}

TEST(password_policy, the_products_name_is_no_password) {
  for (const char* text : {"pampampam", "pam12345", "pampassword", "PamPam2026"}) {
    EXPECT_THAT(reasons(text), ElementsAre("pwned")) << text;
  }
  EXPECT_THAT(reasons("spamalot-fjord-7"), IsEmpty());
}

TEST(password_policy, several_reasons_are_all_told) {
  EXPECT_THAT(reasons("monkey"), ElementsAre("length", "pwned"));
}

TEST(password_policy, an_account_without_an_address_is_checked_too) {
  EXPECT_THAT(check_password("sunshine1", "", {}).reasons, ElementsAre("pwned"));
  EXPECT_THAT(check_password(good, "", {}).reasons, IsEmpty());
}

}  // namespace
}  // namespace pam::auth
