#include "protocol/form.hpp"

#include <gtest/gtest.h>

namespace pam::protocol {
namespace {

TEST(form, decodes_names_and_values) {
  const auto outcome = decode_form("grant_type=refresh_token&scope=a+b%20c&na%6De=%C3%A9%26%3D%2B&flag");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->size(), 4U);
  EXPECT_EQ(outcome->find("grant_type"), "refresh_token");
  EXPECT_EQ(outcome->find("scope"), "a b c");
  EXPECT_EQ(outcome->find("name"), "\u00e9&=+");
  EXPECT_FALSE(outcome->find("other").has_value());
}

TEST(form, an_empty_value_equals_absent) {
  const auto outcome = decode_form("page=&per_page=&flag&x=1");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_FALSE(outcome->find("page").has_value());
  EXPECT_FALSE(outcome->find("flag").has_value());
  EXPECT_EQ(outcome->find("x"), "1");
}

TEST(form, a_value_may_hold_equals_signs_and_members_may_be_blank) {
  const auto outcome = decode_form("&&a=b=c==&&");

  ASSERT_TRUE(outcome.has_value());
  EXPECT_EQ(outcome->size(), 1U);
  EXPECT_EQ(outcome->find("a"), "b=c==");
  EXPECT_EQ(decode_form("")->size(), 0U);
}

TEST(form, refuses_what_is_not_percent_encoded_text) {
  for (const std::string_view text :
       {"a=%", "a=%4", "a=%4g", "a=%g4", "a=%%41", "%=1", "a=b c", "a=b\n", "a=b\tc", "a=\xC3\xA9", "a=\x7f",
        "a=%00", "%00=a", "a=%C3", "a=%C3%28", "a=%ED%A0%80", "a=%C0%AF", "a=%FF", "a=1&b=%2"}) {
    const auto outcome = decode_form(text);
    ASSERT_FALSE(outcome.has_value()) << text;
    EXPECT_EQ(outcome.error().code, &codes::validation_failed) << text;
  }
  EXPECT_FALSE(decode_form(std::string_view("a=b\0", 4)).has_value());
}

TEST(form, a_character_may_not_be_split_between_name_and_value) {
  EXPECT_FALSE(decode_form("a%C3=%A9").has_value());
}

TEST(form, a_name_comes_once_however_it_is_written) {
  EXPECT_FALSE(decode_form("a=1&a=2").has_value());
  EXPECT_FALSE(decode_form("a=1&%61=1").has_value());
  EXPECT_FALSE(decode_form("a&a").has_value());
  EXPECT_TRUE(decode_form("a=1&A=2").has_value());
}

TEST(form, has_a_bounded_number_of_members) {
  std::string text;
  for (std::size_t i = 0; i < max_form_members; ++i) text += "m" + std::to_string(i) + "=1&";

  EXPECT_TRUE(decode_form(text).has_value());
  EXPECT_FALSE(decode_form(text + "one_more=1").has_value());
}

TEST(form, moves_with_its_text) {
  for (const std::string& value : {std::string{"s"}, std::string(300, 'v')}) {
    auto decoded_form = decode_form("k=" + value);
    ASSERT_TRUE(decoded_form.has_value());

    form first = std::move(*decoded_form);
    form second;
    second = std::move(first);

    EXPECT_EQ(second.find("k"), value);
    EXPECT_EQ(first.size(), 0U);  // NOLINT(bugprone-use-after-move): the state after a move is the subject
  }
}

TEST(form, errors_do_not_repeat_what_was_sent) {
  EXPECT_EQ(decode_form("client_secret=hunter2%").error().detail.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace pam::protocol
