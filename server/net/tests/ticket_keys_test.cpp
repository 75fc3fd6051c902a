#include "server/net/detail/ticket_keys.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pam::net::detail {
namespace {

constexpr std::time_t noon = std::time_t{500'000} * 3600;

TEST(ticket_keys, processes_with_one_secret_have_the_same_keys) {
  ticket_keys one(std::string(32, 's'));
  ticket_keys two(std::string(32, 's'));
  ticket_keys other(std::string(32, 't'));

  EXPECT_EQ(one.current(noon)->name, two.current(noon)->name);
  EXPECT_EQ(one.current(noon)->encryption, two.current(noon + 3599)->encryption);
  EXPECT_EQ(one.current(noon)->integrity, two.current(noon)->integrity);
  EXPECT_NE(one.current(noon)->encryption, other.current(noon)->encryption);
}

TEST(ticket_keys, the_parts_of_a_key_and_the_keys_of_two_hours_differ) {
  ticket_keys keys(std::string(32, 's'));
  const auto now = *keys.current(noon);
  const auto later = *keys.current(noon + 3600);

  EXPECT_NE(now.encryption, now.integrity);
  EXPECT_NE(now.encryption, later.encryption);
  EXPECT_NE(now.name, later.name);
}

TEST(ticket_keys, previous_and_next_hour_are_accepted_and_no_other) {
  ticket_keys keys(std::string(32, 's'));
  const auto made = *keys.current(noon);

  EXPECT_TRUE(keys.find(made.name, noon));
  EXPECT_TRUE(keys.find(made.name, noon + 3600));
  EXPECT_TRUE(keys.find(made.name, noon - 3600)) << "the maker's clock was ahead";
  EXPECT_FALSE(keys.find(made.name, noon + 7200));
  EXPECT_FALSE(keys.find(made.name, noon - 7200));
}

}  // namespace
}  // namespace pam::net::detail
