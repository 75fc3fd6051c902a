#include "server/runtime/breach_answer.hpp"

#include <gtest/gtest.h>

#include <string>

#include "server/runtime/breach_cache.hpp"

namespace pam::runtime {
namespace {

// SHA-1 of "password": the range's prefix and the digits behind it.
constexpr std::string_view prefix_of_password = "5BAA6";
constexpr std::string_view rest_of_password = "1E4C9B93F3F0682250B6CF8331B7EE68FD8";

std::string line(std::string_view suffix, std::string_view count = "7") {
  return std::string{suffix} + ":" + std::string{count} + "\r\n";
}

std::string other_suffix(char first) {
  return first + std::string(34, '0');
}

bool is_found(std::string_view body) {
  const auto range = breach_range::parse(body);
  EXPECT_TRUE(range.has_value());
  return range && range->contains(crypto::sha1("password"));
}

TEST(breach_prefix, is_the_first_twenty_bits) {
  EXPECT_EQ(breach_prefix(crypto::sha1("password")), prefix_of_password);
}

TEST(breach_range, names_the_password_wherever_it_stands) {
  const std::string before = line(other_suffix('0'));
  const std::string after = line(other_suffix('F'));

  EXPECT_TRUE(is_found(line(rest_of_password)));
  EXPECT_TRUE(is_found(before + line(rest_of_password) + after));
  EXPECT_TRUE(is_found(after + before + line(rest_of_password)));  // whatever their order
  EXPECT_TRUE(is_found(std::string{rest_of_password} + ":1"));     // no line feed at the end
  EXPECT_FALSE(is_found(before + after));
  EXPECT_FALSE(is_found(""));
}

TEST(breach_range, takes_digits_of_either_case) {
  std::string lower{rest_of_password};
  for (char& c : lower) c = static_cast<char>(std::tolower(c));

  EXPECT_TRUE(is_found(line(lower)));
}

TEST(breach_range, leaves_padding_out) {
  EXPECT_FALSE(is_found(line(rest_of_password, "0")));
  EXPECT_FALSE(is_found(line(rest_of_password, "000")));
  EXPECT_EQ(breach_range::parse(line(other_suffix('1'), "0") + line(other_suffix('2'), "10"))->size(), 1U);
}

TEST(breach_range, differs_in_every_digit_it_keeps) {
  for (std::size_t at = 0; at < 16; ++at) {
    std::string other{rest_of_password};
    other[at] = other[at] == '0' ? '1' : '0';
    EXPECT_FALSE(is_found(line(other))) << at;
  }
}

TEST(breach_range, of_anything_else_is_none) {
  const std::string good{rest_of_password};
  for (const std::string& body :
       {std::string{"<html>"}, good, good + ":", good + ":x", good + ":-1", good + " :1",
        good.substr(1) + ":1", "A" + good + ":1", good + ":1234567890123", "\r\n" + good + ":1",
        good + ":1\r\n\r\n" + good + ":1", "g" + good.substr(1) + ":1", std::string(36, '\0')}) {
    EXPECT_FALSE(breach_range::parse(body).has_value()) << body;
  }
}

TEST(breach_range, is_bounded) {
  std::string body;
  for (std::size_t i = 0; i < max_breach_entries; ++i) body += line(other_suffix('1'));
  EXPECT_TRUE(breach_range::parse(body).has_value());

  EXPECT_FALSE(breach_range::parse(body + line(other_suffix('1'))).has_value());
}

TEST(breach_cache, forgets_after_its_lifetime) {
  const breach_cache::time_point now{};
  breach_cache cache;
  cache.keep("00000", *breach_range::parse(line(rest_of_password)), now);

  const auto last = now + breach_cache::lifetime - std::chrono::seconds{1};
  ASSERT_NE(cache.find("00000", last), nullptr);
  EXPECT_TRUE(cache.find("00000", last)->contains(crypto::sha1("password")));
  EXPECT_EQ(cache.find("00001", last), nullptr);
  EXPECT_EQ(cache.find("00000", now + breach_cache::lifetime), nullptr);
  EXPECT_EQ(cache.size(), 0U);
}

TEST(breach_cache, keeps_what_was_asked_last) {
  const breach_cache::time_point now{};
  breach_cache cache;
  for (std::size_t i = 0; i < breach_cache::capacity; ++i) cache.keep(std::to_string(i), {}, now);
  ASSERT_NE(cache.find("0", now), nullptr);  // used, hence younger than "1"

  cache.keep("one more", {}, now);

  EXPECT_EQ(cache.size(), breach_cache::capacity);
  EXPECT_NE(cache.find("0", now), nullptr);
  EXPECT_EQ(cache.find("1", now), nullptr);
  EXPECT_NE(cache.find("one more", now), nullptr);
}

TEST(breach_cache, keeps_the_newer_answer_of_a_prefix) {
  const breach_cache::time_point now{};
  breach_cache cache;
  cache.keep("5BAA6", {}, now);
  cache.keep("5BAA6", *breach_range::parse(line(rest_of_password)), now);

  EXPECT_EQ(cache.size(), 1U);
  EXPECT_TRUE(cache.find("5BAA6", now)->contains(crypto::sha1("password")));
}

}  // namespace
}  // namespace pam::runtime
