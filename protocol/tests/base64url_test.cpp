#include "protocol/base64url.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace pam::protocol {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span{text.data(), text.size()});
}

TEST(base64url, writes_the_vectors_of_rfc_4648_without_padding) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"", ""},           {"f", "Zg"},          {"fo", "Zm8"},         {"foo", "Zm9v"},
      {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, encoded] : rows) {
    EXPECT_EQ(encode_base64url(bytes_of(plain)), encoded);
    const auto back = decode_base64url(encoded);
    ASSERT_TRUE(back.has_value()) << encoded;
    EXPECT_TRUE(std::equal(back->begin(), back->end(), bytes_of(plain).begin(), bytes_of(plain).end()))
        << encoded;
  }
}

TEST(base64url, uses_the_alphabet_for_urls) {
  EXPECT_EQ(encode_base64url(bytes_of("\xFB\xFF\xFE")), "-__-");
  EXPECT_TRUE(decode_base64url("-__-").has_value());
}

TEST(base64url, refuses_every_form_but_the_canonical_one) {
  for (const std::string_view text : {"A", "AAAAA", "Zg==", "Zg=", "Zh", "Zm9", "Zm8=", "Z g", " Zg", "Zg\n",
                                      "+/+/", "Zg.", "Zm9v\xC3\xA9"}) {
    EXPECT_FALSE(decode_base64url(text).has_value()) << text;
  }
  EXPECT_FALSE(decode_base64url(std::string_view("Zm9\0", 4)).has_value());
}

TEST(base64url, only_zero_spare_bits_are_canonical) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  int accepted_two = 0;
  int accepted_three = 0;
  for (const char last : alphabet) {
    accepted_two += decode_base64url(std::string{'A', last}).has_value();
    accepted_three += decode_base64url(std::string{'A', 'A', last}).has_value();
  }
  EXPECT_EQ(accepted_two, 4);     // 12 bits for one byte: the last four are spare
  EXPECT_EQ(accepted_three, 16);  // 18 bits for two bytes: the last two are spare
}

TEST(base64url, fills_the_callers_memory_exactly_or_not_at_all) {
  std::array<std::byte, 3> out{};
  EXPECT_TRUE(decode_base64url("Zm9v", out));
  EXPECT_FALSE(decode_base64url("Zm8", out));
  EXPECT_FALSE(decode_base64url("Zm9vYg", out));
  EXPECT_FALSE(decode_base64url("", out));
  EXPECT_TRUE(decode_base64url("", std::span<std::byte>{}));
}

TEST(base64url, random_bytes_come_back) {
  std::mt19937 random{3};
  for (std::size_t size = 0; size < 200; ++size) {
    std::vector<std::byte> bytes(size);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random() & 0xFF);
    EXPECT_EQ(decode_base64url(encode_base64url(bytes)), bytes);
  }
}

}  // namespace
}  // namespace pam::protocol
