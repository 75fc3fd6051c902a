#include "protocol/detail/json_number.hpp"

#include <gtest/gtest.h>

#include <charconv>
#include <random>

namespace pam::protocol::detail {
namespace {

std::string canonical(std::string_view token) {
  std::string out;
  append_number(out, token);
  return out;
}

TEST(json_number, writes_every_number_in_full_and_shortest) {
  const std::pair<std::string_view, std::string_view> rows[] = {
      {"0", "0"},
      {"-0", "0"},
      {"0.000", "0"},
      {"0e5", "0"},
      {"0e999999999999999999999", "0"},
      {"-0.0e-999999999999999999999", "0"},
      {"1", "1"},
      {"-17", "-17"},
      {"1.50", "1.5"},
      {"1.00", "1"},
      {"1e3", "1000"},
      {"1E+3", "1000"},
      {"12e-1", "1.2"},
      {"1.5e1", "15"},
      {"1.25e1", "12.5"},
      {"1e-3", "0.001"},
      {"0.00100", "0.001"},
      {"100e-2", "1"},
      {"-2.50e-2", "-0.025"},
      {"100000000000000000000", "100000000000000000000"},
      {"123456789012345678901234567890.123456789012345678901234567890",
       "123456789012345678901234567890.12345678901234567890123456789"},
  };
  for (const auto& [token, expected] : rows) {
    EXPECT_EQ(judge_number(token), number_verdict::fine) << token;
    EXPECT_EQ(canonical(token), expected) << token;
  }
}

TEST(json_number, refuses_what_rfc_8259_does_not_call_a_number) {
  for (const std::string_view token :
       {"",    "-",   "+1",  "01",       "-01",       "00",  ".5", "1.",  "1.e1",  "1e", "1e+",
        "0x1", "1_0", "NaN", "Infinity", "-Infinity", "1 2", "1a", "--1", "1e1.5", "}"}) {
    EXPECT_EQ(judge_number(token), number_verdict::malformed) << token;
  }
}

TEST(json_number, refuses_what_a_double_cannot_hold) {
  const std::string many_digits = std::string(400, '9');
  const std::string tiny_without_exponent = "0." + std::string(400, '0') + "1";
  for (const std::string_view token :
       {std::string_view{"1e400"}, std::string_view{"-1e400"}, std::string_view{"1e309"},
        std::string_view{"1.8e308"}, std::string_view{"1e-400"}, std::string_view{"1e999999999999999999999"},
        std::string_view{"1e-999999999999999999999"}, std::string_view{many_digits},
        std::string_view{tiny_without_exponent}}) {
    EXPECT_EQ(judge_number(token), number_verdict::out_of_range) << token;
  }
}

TEST(json_number, accepts_the_ends_of_double) {
  for (const std::string_view token :
       {"1.7976931348623157e308", "-1.7976931348623157e308", "5e-324", "2.3e-308"}) {
    EXPECT_EQ(judge_number(token), number_verdict::fine) << token;
  }
  EXPECT_EQ(canonical("1e308"), "1" + std::string(308, '0'));
  EXPECT_EQ(canonical("5e-324"), "0." + std::string(323, '0') + "5");
}

TEST(json_number, grows_by_no_more_than_330_bytes) {
  for (const std::string_view token : {"1e308", "-9e307", "5e-324", "-5e-324"}) {
    EXPECT_LE(canonical(token).size(), token.size() + 330) << token;
  }
}

TEST(json_number, keeps_the_value_of_random_doubles) {
  std::mt19937_64 random{1};
  for (int i = 0; i < 20'000; ++i) {
    double value = 0;
    const std::uint64_t bits = random();
    std::memcpy(&value, &bits, sizeof value);
    if (!(value == value) || value - value != 0) continue;
    std::array<char, 64> text;
    const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
    const std::string_view token(text.data(), static_cast<std::size_t>(end - text.data()));

    const std::string written = canonical(token);

    ASSERT_EQ(judge_number(token), number_verdict::fine) << token;
    double read = 0;
    ASSERT_EQ(std::from_chars(written.data(), written.data() + written.size(), read).ec, std::errc{})
        << written;
    ASSERT_EQ(read, value) << token << " became " << written;
    ASSERT_EQ(canonical(written), written);
  }
}

}  // namespace
}  // namespace pam::protocol::detail
