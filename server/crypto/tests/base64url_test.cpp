#include "server/crypto/detail/base64url.hpp"

#include <gtest/gtest.h>

namespace pam::crypto::detail {
namespace {

TEST(base64url, encodes_the_vectors_of_rfc_4648_without_padding) {
  EXPECT_EQ(to_base64url(std::string_view{""}), "");
  EXPECT_EQ(to_base64url(std::string_view{"f"}), "Zg");
  EXPECT_EQ(to_base64url(std::string_view{"fo"}), "Zm8");
  EXPECT_EQ(to_base64url(std::string_view{"foo"}), "Zm9v");
  EXPECT_EQ(to_base64url(std::string_view{"foobar"}), "Zm9vYmFy");
  EXPECT_EQ(to_base64url(std::string_view{"\xfb\xff\xbf"}), "-_-_");
}

TEST(base64url, decodes_what_it_encoded_for_every_length) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(from_base64url(to_base64url(std::string_view{bytes})), bytes);
    bytes.push_back(static_cast<char>(i * 7));
  }
}

TEST(base64url, refuses_padding) {
  EXPECT_FALSE(from_base64url("Zg=="));
  EXPECT_FALSE(from_base64url("Zm8="));
}

TEST(base64url, refuses_white_space_and_line_ends) {
  EXPECT_FALSE(from_base64url("Zm9v Zm9v"));
  EXPECT_FALSE(from_base64url("Zm9v\n"));
  EXPECT_FALSE(from_base64url(" Zm9v"));
}

TEST(base64url, refuses_the_other_alphabet_and_foreign_characters) {
  EXPECT_FALSE(from_base64url("+/+/"));
  EXPECT_FALSE(from_base64url("Zm9."));
  EXPECT_FALSE(from_base64url(std::string_view{"Zm\0v", 4}));
  EXPECT_FALSE(from_base64url("Zm\xc3\xa4"));
}

TEST(base64url, accepts_the_64_characters_and_no_other_byte) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  for (int byte = 0; byte < 256; ++byte) {
    const char each = static_cast<char>(byte);
    const std::string text{'A', each, 'A', 'A'};
    const bool is_letter = letters.find(each) != std::string_view::npos;
    EXPECT_EQ(from_base64url(text).has_value(), is_letter || each == '-' || each == '_') << byte;
    EXPECT_EQ(from_base64(text).has_value(), is_letter || each == '+' || each == '/') << byte;
  }
}

TEST(base64url, refuses_a_length_no_byte_string_has) {
  EXPECT_FALSE(from_base64url("Z"));
  EXPECT_FALSE(from_base64url("Zm9vZ"));
}

TEST(base64url, refuses_trailing_bits_that_are_not_zero) {
  EXPECT_TRUE(from_base64url("Zg"));
  for (const char* text : {"Zh", "Zi", "Zv", "Zm9", "Zm-"}) EXPECT_FALSE(from_base64url(text)) << text;
}

TEST(public_base64url, writes_and_reads_what_the_other_does) {
  std::string bytes;
  for (int i = 0; i < 300; ++i) {
    const std::string text = to_base64url(std::string_view{bytes});
    EXPECT_EQ(public_to_base64url(bytes), text);
    EXPECT_EQ(public_from_base64url(text), bytes);
    bytes.push_back(static_cast<char>(i * 7 + i / 3));
  }
}

TEST(public_base64url, judges_every_short_text_as_the_other_does) {
  // Every byte in every place of a group, and every last digit of a shorter one.
  for (const std::string& around : {std::string{"AAAA"}, std::string{"AAAAAAA"}, std::string{"AAAAAA"},
                                    std::string{"AAAAA"}, std::string{"A"}, std::string{}}) {
    EXPECT_EQ(public_from_base64url(around), from_base64url(around)) << around;
    for (std::size_t at = 0; at < around.size(); ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text = around;
        text[at] = static_cast<char>(byte);
        EXPECT_EQ(public_from_base64url(text), from_base64url(text)) << text;
      }
    }
  }
}

TEST(base64url, decodes_secrets_by_the_same_rules) {
  EXPECT_EQ(secret_from_base64url("Zm9v")->view(), "foo");
  EXPECT_FALSE(secret_from_base64url("Zm9"));
}

}  // namespace
}  // namespace pam::crypto::detail
