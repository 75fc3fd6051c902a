#include "server/crypto/random.hpp"

#include <gtest/gtest.h>

#include <set>

namespace pam::crypto {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

std::uint64_t milliseconds_of(const boost::uuids::uuid& id) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < 6; ++i) value = value << 8 | id.data[i];
  return value;
}

TEST(random, a_v7_uuid_carries_its_milliseconds_version_and_variant) {
  const auto id = uuid_v7(system_clock::time_point{milliseconds{0x0123456789AB}});

  EXPECT_EQ(milliseconds_of(id), 0x0123456789ABU);
  EXPECT_EQ(id.data[6] >> 4, 7);
  EXPECT_EQ(id.data[8] >> 6, 2);
}

TEST(random, v7_uuids_of_later_milliseconds_are_greater) {
  boost::uuids::uuid before = uuid_v7(system_clock::time_point{milliseconds{1'000}});
  for (int i = 1; i < 1'000; ++i) {
    const auto after = uuid_v7(system_clock::time_point{milliseconds{1'000 + i}});
    EXPECT_LT(before, after);
    before = after;
  }
}

TEST(random, v7_uuids_of_one_millisecond_differ) {
  std::set<boost::uuids::uuid> seen;
  for (int i = 0; i < 10'000; ++i) seen.insert(uuid_v7(system_clock::time_point{milliseconds{5}}));
  EXPECT_EQ(seen.size(), 10'000U);
}

TEST(random, a_time_before_1970_counts_as_1970) {
  EXPECT_EQ(milliseconds_of(uuid_v7(system_clock::time_point{milliseconds{-1}})), 0U);
}

TEST(random, a_v4_uuid_carries_version_and_variant_and_is_never_the_same) {
  std::set<boost::uuids::uuid> seen;
  for (int i = 0; i < 1'000; ++i) {
    const auto id = uuid_v4();
    EXPECT_EQ(id.data[6] >> 4, 4);
    EXPECT_EQ(id.data[8] >> 6, 2);
    seen.insert(id);
  }
  EXPECT_EQ(seen.size(), 1'000U);
}

TEST(random, every_random_bit_of_a_v7_uuid_takes_both_values) {
  std::array<std::uint8_t, 16> ones = {};
  std::array<std::uint8_t, 16> zeros = {};
  for (int i = 0; i < 200; ++i) {
    const auto id = uuid_v7(system_clock::time_point{milliseconds{0}});
    for (std::size_t byte = 0; byte < 16; ++byte) {
      ones[byte] = static_cast<std::uint8_t>(ones[byte] | id.data[byte]);
      zeros[byte] = static_cast<std::uint8_t>(zeros[byte] | ~id.data[byte]);
    }
  }
  for (std::size_t byte = 6; byte < 16; ++byte) {
    const int fixed = byte == 6 ? 0xF0 : byte == 8 ? 0xC0 : 0;
    EXPECT_EQ((ones[byte] & zeros[byte]) | fixed, 0xFF) << byte;
  }
}

TEST(random, a_bounded_number_stays_below_its_bound_and_reaches_every_value) {
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 1'000; ++i) seen.insert(random_below(6));
  EXPECT_EQ(seen, (std::set<std::uint32_t>{0, 1, 2, 3, 4, 5}));
}

TEST(random, two_fills_differ) {
  std::array<std::byte, 32> a = {};
  std::array<std::byte, 32> b = {};
  fill_random(a);
  fill_random(b);
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace pam::crypto
