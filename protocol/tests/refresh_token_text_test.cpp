#include "protocol/refresh_token_text.hpp"

#include <gtest/gtest.h>

#include <random>

namespace pam::protocol {
namespace {

using image = std::array<std::byte, refresh_token_image_bytes>;

image random_image(std::mt19937& random) {
  image out;
  for (auto& byte : out) byte = static_cast<std::byte>(random() & 0xFF);
  return out;
}

TEST(refresh_token_text, has_a_prefix_and_96_characters) {
  EXPECT_EQ(encode_refresh_token(image{}), "pamr1_" + std::string(96, 'A'));
}

TEST(refresh_token_text, random_images_come_back) {
  std::mt19937 random{5};
  for (int i = 0; i < 2'000; ++i) {
    const image bytes = random_image(random);
    EXPECT_EQ(decode_refresh_token(encode_refresh_token(bytes)), bytes);
  }
}

TEST(refresh_token_text, a_changed_character_never_stands_for_the_same_bytes) {
  std::mt19937 random{6};
  const image bytes = random_image(random);
  const std::string text = encode_refresh_token(bytes);
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = text;
      changed[at] = static_cast<char>(c);
      if (changed == text) continue;
      const auto outcome = decode_refresh_token(changed);
      EXPECT_TRUE(!outcome.has_value() || *outcome != bytes) << at << " " << c;
      if (at < refresh_token_prefix.size()) EXPECT_FALSE(outcome.has_value()) << at;
    }
  }
}

TEST(refresh_token_text, refuses_other_lengths_and_prefixes) {
  const std::string text = encode_refresh_token(image{});
  for (std::size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(decode_refresh_token(std::string_view{text}.substr(0, length)).has_value()) << length;
  }
  EXPECT_FALSE(decode_refresh_token(text + "A").has_value());
  EXPECT_FALSE(decode_refresh_token(text + "=").has_value());
  EXPECT_FALSE(decode_refresh_token("pamr2_" + std::string(96, 'A')).has_value());
  EXPECT_FALSE(decode_refresh_token("PAMR1_" + std::string(96, 'A')).has_value());
  EXPECT_FALSE(decode_refresh_token(std::string(102, 'A')).has_value());
}

}  // namespace
}  // namespace pam::protocol
