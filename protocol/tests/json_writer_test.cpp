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

TEST(json_writer, finds_what_it_must_escape_at_every_place_and_nothing_else) {
  for (std::size_t length = 1; length <= 20; ++length) {
    for (std::size_t at = 0; at < length; ++at) {
      for (int byte = 0; byte < 256; ++byte) {
        std::string text(length, 'a');
        text[at] = static_cast<char>(byte);
        std::string out;
        json_writer json{out};

        json.text(text);

        const bool is_escaped = byte < 0x20 || byte == '"' || byte == '\\';
        ASSERT_EQ(out.find('\\') != std::string::npos, is_escaped) << length << " " << at << " " << byte;
        if (!is_escaped) ASSERT_EQ(out, '"' + text + '"');
      }
    }
  }
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
