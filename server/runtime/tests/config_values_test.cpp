#include "server/runtime/config_values.hpp"

#include <gmock/gmock.h>

namespace pam::runtime {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(config_values, durations_keep_their_value_through_text) {
  for (const std::string text : {"0s", "1ms", "1500ms", "75s", "15m", "12h", "30d"}) {
    EXPECT_EQ(format_duration(parse_duration(text).value_or(milliseconds{-1})), text);
  }
  EXPECT_EQ(format_duration(seconds{900}), "15m");
  for (const std::string_view text :
       {"", "s", "5", "5 s", "1.5h", "1h30m", "+5s", "-5s", "5S", "9223372036854775807d"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(config_values, sizes_keep_their_value_through_text) {
  for (const std::string text : {"0B", "1000B", "64KiB", "16MiB", "2GiB"}) {
    EXPECT_EQ(format_size(parse_size(text).value_or(7)), text);
  }
  for (const std::string_view text : {"", "KiB", "64", "64KB", "64kib", "-1B", "9223372036854775807KiB"}) {
    EXPECT_FALSE(parse_size(text).has_value()) << text;
  }
}

TEST(config_values, endpoints_are_hosts_addresses_or_directories) {
  for (const std::string text : {"db:6432", "[::1]:5432", "/run/postgresql:6432", "10.0.0.1:1",
                                 "auth_ro_1@db:6432", "auth_ro_1@/run/pg@x:6432"}) {
    EXPECT_EQ(format_endpoint(parse_endpoint(text).value_or(db::endpoint{})), text);
  }
  for (const std::string_view text : {"", ":5432", "db:", "db:x", "db:65536", "db:0", "[::1", "[]:1",
                                      "[::1]x", "::1", "a b", "a,b", "@db:1"}) {
    EXPECT_FALSE(parse_endpoint(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace pam::runtime
