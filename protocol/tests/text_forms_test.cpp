#include <gtest/gtest.h>

#include <random>

#include "protocol/objects.hpp"

namespace pam::protocol {
namespace {

using std::chrono::microseconds;
using std::chrono::sys_days;
using std::chrono::year;

timestamp at(std::int64_t since_epoch) {
  return timestamp{microseconds{since_epoch}};
}

TEST(rfc3339, writes_microseconds_and_z) {
  EXPECT_EQ(to_rfc3339(at(0)), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(to_rfc3339(at(1'795'344'180'123'456)), "2026-11-22T10:43:00.123456Z");
  EXPECT_EQ(to_rfc3339(at(-1)), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(to_rfc3339(sys_days{year{2024} / 2 / 29}), "2024-02-29T00:00:00.000000Z");
}

TEST(rfc3339, stays_within_four_digit_years) {
  EXPECT_EQ(to_rfc3339(timestamp::max()), "9999-12-31T23:59:59.999999Z");
  EXPECT_EQ(to_rfc3339(timestamp::min()), "0000-01-01T00:00:00.000000Z");
  EXPECT_EQ(to_rfc3339(sys_days{year{10'000} / 1 / 1}), "9999-12-31T23:59:59.999999Z");
}

TEST(rfc3339, reads_offsets_fractions_and_either_case) {
  const timestamp expected =
      sys_days{year{2026} / 11 / 22} + std::chrono::hours{10} + std::chrono::minutes{43};
  for (const std::string_view text :
       {"2026-11-22T10:43:00Z", "2026-11-22t10:43:00z", "2026-11-22 10:43:00Z", "2026-11-22T10:43:00.000000Z",
        "2026-11-22T10:43:00.0000000009Z", "2026-11-22T12:43:00+02:00", "2026-11-22T05:13:00-05:30",
        "2026-11-22T10:43:00-00:00", "2026-11-23T00:43:00.0+14:00"}) {
    EXPECT_EQ(parse_rfc3339(text), expected) << text;
  }
  EXPECT_EQ(parse_rfc3339("2026-11-22T10:43:00.5Z"), expected + microseconds{500'000});
}

TEST(rfc3339, refuses_everything_else) {
  for (const std::string_view text : {"",
                                      "2026-11-22",
                                      "2026-11-22T10:43Z",
                                      "2026-11-22T10:43:00",
                                      "2026-11-22T10:43:00.Z",
                                      "2026-11-22T24:00:00Z",
                                      "2026-11-22T10:60:00Z",
                                      "2026-11-22T10:43:60Z",
                                      "2026-13-01T00:00:00Z",
                                      "2026-00-01T00:00:00Z",
                                      "2026-02-29T00:00:00Z",
                                      "2026-11-31T00:00:00Z",
                                      "2026-11-00T00:00:00Z",
                                      "2026-11-22T10:43:00+0200",
                                      "2026-11-22T10:43:00+24:00",
                                      "2026-11-22T10:43:00+02:60",
                                      "2026-11-22T10:43:00Z ",
                                      " 2026-11-22T10:43:00Z",
                                      "+026-11-22T10:43:00Z",
                                      "12026-11-22T10:43:00Z",
                                      "2026-11-22T10:43:00,5Z",
                                      "2026-1-22T10:43:00Z",
                                      "2026-11-22T10:43:00.5",
                                      "infinity"}) {
    EXPECT_FALSE(parse_rfc3339(text).has_value()) << text;
  }
}

TEST(rfc3339, random_moments_come_back) {
  std::mt19937_64 random{11};
  std::uniform_int_distribution<std::int64_t> moments{-60'000'000'000'000'000, 250'000'000'000'000'000};
  for (int i = 0; i < 20'000; ++i) {
    const timestamp moment = at(moments(random));
    ASSERT_EQ(parse_rfc3339(to_rfc3339(moment)), moment) << to_rfc3339(moment);
  }
}

TEST(uuid_text, is_lower_case_and_canonical) {
  const auto value = parse_uuid("01939393-ABCD-7eF0-8123-456789abcdef");

  ASSERT_TRUE(value.has_value());
  EXPECT_EQ(to_string(*value), "01939393-abcd-7ef0-8123-456789abcdef");
  EXPECT_EQ(to_string(boost::uuids::uuid{}), "00000000-0000-0000-0000-000000000000");
}

TEST(uuid_text, refuses_every_other_form) {
  for (const std::string_view text :
       {"", "01939393abcd7ef08123456789abcdef", "{01939393-abcd-7ef0-8123-456789abcdef}",
        "01939393-abcd-7ef0-8123-456789abcde", "01939393-abcd-7ef0-8123-456789abcdef0",
        "0193939-3abcd-7ef0-8123-456789abcdef", "01939393-abcd-7ef0-8123-456789abcdeg",
        "01939393_abcd_7ef0_8123_456789abcdef", "urn:uuid:01939393-abcd-7ef0-8123-456",
        "01939393-abcd-7ef0-8123-4567-9abcdef", " 1939393-abcd-7ef0-8123-456789abcdef",
        "01939393-abcd-7ef0-8123--56789abcdef"}) {
    EXPECT_FALSE(parse_uuid(text).has_value()) << text;
  }
}

TEST(uuid_text, random_ids_come_back) {
  std::mt19937 random{12};
  for (int i = 0; i < 1'000; ++i) {
    boost::uuids::uuid value{};
    for (auto& byte : value) byte = static_cast<std::uint8_t>(random() & 0xFF);
    EXPECT_EQ(parse_uuid(to_string(value)), value);
  }
}

}  // namespace
}  // namespace pam::protocol
