#include "protocol/trace_context.hpp"

#include <gtest/gtest.h>

namespace pam::protocol {
namespace {

constexpr std::string_view trace = "4bf92f3577b34da6a3ce929d0e0e4736";
constexpr std::string_view parent = "00f067aa0ba902b7";
const std::string known = "00-" + std::string{trace} + "-" + std::string{parent} + "-01";

TEST(trace_context, a_traceparent_names_trace_parent_and_whether_it_is_sampled) {
  const auto read = parse_traceparent(known);

  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(to_hex(read->trace_id), trace);
  EXPECT_EQ(to_hex(read->parent_id), parent);
  EXPECT_TRUE(read->is_sampled);
  EXPECT_FALSE(parse_traceparent(known.substr(0, 53) + "00")->is_sampled);
  EXPECT_TRUE(parse_traceparent(known.substr(0, 53) + "ff")->is_sampled);
}

TEST(trace_context, a_later_version_may_say_more_and_the_first_may_not) {
  EXPECT_TRUE(parse_traceparent("cc" + known.substr(2)).has_value());
  EXPECT_TRUE(parse_traceparent("cc" + known.substr(2) + "-what-comes").has_value());
  EXPECT_FALSE(parse_traceparent("cc" + known.substr(2) + "more").has_value());
  EXPECT_FALSE(parse_traceparent(known + "-more").has_value());
  EXPECT_FALSE(parse_traceparent("ff" + known.substr(2)).has_value());
}

TEST(trace_context, anything_else_begins_a_new_trace) {
  const std::string upper = "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01";
  const std::string no_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
  const std::string no_parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01";
  const std::string blanks = "00 4bf92f3577b34da6a3ce929d0e0e4736 00f067aa0ba902b7 01";
  for (const std::string& text : {std::string{}, std::string{"00"}, upper, no_trace, no_parent, blanks,
                                  known.substr(0, 54), "0g" + known.substr(2)}) {
    EXPECT_FALSE(parse_traceparent(text).has_value()) << text;
  }
}

TEST(trace_context, a_tracestate_is_passed_on_only_when_it_is_one) {
  EXPECT_EQ(valid_tracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  EXPECT_EQ(valid_tracestate(" a@b=1 , c=2 "), "a@b=1 , c=2");
  std::string too_many;
  for (int i = 0; i < 33; ++i) too_many += "k" + std::to_string(i) + "=v,";
  for (const std::string& text :
       {std::string{}, std::string{","}, std::string{"a"}, std::string{"=1"}, std::string{"A=1"},
        std::string{"a=b=c"}, std::string{"a=\x01"}, too_many, "a=" + std::string(600, 'x')}) {
    EXPECT_EQ(valid_tracestate(text), "") << text;
  }
}

}  // namespace
}  // namespace pam::protocol
