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

TEST(sha1, of_the_standards_example) {
  const auto digest = sha1("abc");

  EXPECT_EQ(std::to_integer<int>(digest[0]), 0xa9);
  EXPECT_EQ(std::to_integer<int>(digest[1]), 0x99);
  EXPECT_EQ(std::to_integer<int>(digest[19]), 0x9d);
}

}  // namespace
}  // namespace pam::crypto
