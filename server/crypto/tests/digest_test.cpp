#include "server/crypto/digest.hpp"

#include <gtest/gtest.h>

namespace pam::crypto {
namespace {

// FIPS 180-4's example "abc".
TEST(sha256, of_the_standards_example) {
  const auto digest = sha256("abc");

  EXPECT_EQ(std::to_integer<int>(digest[0]), 0xba);
  EXPECT_EQ(std::to_integer<int>(digest[1]), 0x78);
  EXPECT_EQ(std::to_integer<int>(digest[31]), 0xad);
}

TEST(keyed_hasher, gives_one_value_for_one_text_and_another_for_another) {
  const keyed_hasher hasher;

  EXPECT_EQ(hasher.of("192.0.2.7"), hasher.of("192.0.2.7"));
  EXPECT_FALSE(hasher.of("192.0.2.7") == hasher.of("192.0.2.8"));
}

TEST(keyed_hasher, of_another_key_gives_other_values) {
  EXPECT_FALSE(keyed_hasher{}.of("192.0.2.7") == keyed_hasher{}.of("192.0.2.7"));
}

}  // namespace
}  // namespace pam::crypto
