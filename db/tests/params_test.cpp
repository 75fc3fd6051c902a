#include "db/params.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "db/error.hpp"
#include "db/statement.hpp"

namespace pam::db {
namespace {

using namespace std::string_view_literals;

TEST(params, integers_travel_in_network_byte_order) {
  params p;
  p.add(std::int16_t{0x0102}).add(std::int32_t{0x01020304}).add(std::int64_t{0x0102030405060708});

  EXPECT_EQ(p.value(0), "\x01\x02"sv);
  EXPECT_EQ(p.value(1), "\x01\x02\x03\x04"sv);
  EXPECT_EQ(p.value(2), "\x01\x02\x03\x04\x05\x06\x07\x08"sv);
  EXPECT_TRUE(p.is_binary(2));
}

TEST(params, a_timestamp_counts_microseconds_since_the_year_2000) {
  const timestamp y2k_plus_one{std::chrono::microseconds{946'684'800'000'001}};
  params p;
  p.add(y2k_plus_one);

  EXPECT_EQ(p.value(0), "\0\0\0\0\0\0\0\x01"sv);
}

TEST(params, null_text_and_empty_text_differ) {
  params p;
  p.add_text(""sv).add_null().add_text(std::optional<std::string>{}).add(std::optional<bool>{true});

  EXPECT_FALSE(p.is_null(0));
  EXPECT_FALSE(p.is_binary(0));
  EXPECT_TRUE(p.is_null(1));
  EXPECT_TRUE(p.is_null(2));
  EXPECT_EQ(p.value(3), "\x01"sv);
}

TEST(params, values_survive_growth_and_moves) {
  params p;
  const std::string large(1000, 'x');
  p.add_text("small"sv).add_text(large).add_text("last"sv);

  params moved = std::move(p);

  EXPECT_EQ(moved.size(), 3U);
  EXPECT_EQ(moved.value(0), "small"sv);
  EXPECT_EQ(moved.value(1), large);
  EXPECT_EQ(moved.value(2), "last"sv);
}

TEST(params, a_text_value_is_followed_by_a_nul) {
  params p;
  p.add_text("abc"sv).add_text("def"sv);

  EXPECT_EQ(p.value(0).data()[3], '\0');
}

TEST(statement_name, depends_on_the_text_and_fits_an_identifier) {
  constexpr statement_name one{"SELECT 1"};
  constexpr statement_name two{"SELECT 2"};

  EXPECT_NE(one.view(), two.view());
  EXPECT_EQ(one.view().size(), 20U);
  EXPECT_EQ(std::string{one.c_str()}, one.view());
}

TEST(error, its_class_is_the_first_two_characters_of_the_sqlstate) {
  error failure;
  EXPECT_FALSE(failure.is_class("23"));

  failure.sqlstate = "23505";
  EXPECT_TRUE(failure.is_class("23"));
  EXPECT_FALSE(failure.is_class("22"));
}

}  // namespace
}  // namespace pam::db
