#include "protocol/json_writer.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace pam::protocol {
namespace {

TEST(json_writer, puts_commas_between_members_and_elements_only) {
  std::string out;
  json_writer json{out};

  json.begin_object();
  json.member("a", "x");
  json.key("b");
  json.begin_array();
  json.integer(1);
  json.begin_object();
  json.end_object();
  json.begin_array();
  json.end_array();
  json.boolean(false);
  json.null();
  json.end_array();
  json.key("c");
  json.raw("{\"d\":1}");
  json.end_object();

  EXPECT_EQ(out, R"({"a":"x","b":[1,{},[],false,null],"c":{"d":1}})");
}

TEST(json_writer, escapes_what_json_demands_and_nothing_else) {
  std::string out;
  json_writer json{out};

  json.text("\"\\/\b\f\n\r\t\x01\x1f\x7f<>&\u00e9\u2028\U0001F600");

  EXPECT_EQ(out, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f<>&\u00e9\u2028\U0001F600\"");
}

TEST(json_writer, escapes_keys_like_values) {
  std::string out;
  json_writer json{out};

  json.begin_object();
  json.member("a\"\n", "");
  json.end_object();

  EXPECT_EQ(out, R"({"a\"\n":""})");
}

TEST(json_writer, writes_the_whole_range_of_integers) {
  std::string out;
  json_writer json{out};

  json.begin_array();
  json.integer(std::numeric_limits<std::int64_t>::min());
  json.integer(std::numeric_limits<std::int64_t>::max());
  json.integer(0);
  json.end_array();

  EXPECT_EQ(out, "[-9223372036854775808,9223372036854775807,0]");
}

}  // namespace
}  // namespace pam::protocol
