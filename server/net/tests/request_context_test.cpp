#include "server/net/request_context.hpp"

#include <gtest/gtest.h>

namespace pam::net {
namespace {

std::string value_of(std::string_view query, std::string_view name) {
  request_context request;
  request.query = query;
  return request.query_value(name);
}

TEST(request_context, a_query_member_is_found_and_decoded) {
  EXPECT_EQ(value_of("a=1&grant_type=refresh_token&b=2", "grant_type"), "refresh_token");
  EXPECT_EQ(value_of("q=a+b%20c%2Bd%C3%A9", "q"), "a b c+d\xC3\xA9");
  EXPECT_EQ(value_of("%71=named", "q"), "named");
}

TEST(request_context, an_absent_member_and_an_empty_value_are_the_same) {
  EXPECT_EQ(value_of("", "q"), "");
  EXPECT_EQ(value_of("q", "q"), "");
  EXPECT_EQ(value_of("q=&r=1", "q"), "");
  EXPECT_EQ(value_of("qq=1&r=q", "q"), "");
}

TEST(request_context, the_first_of_equal_members_counts) {
  EXPECT_EQ(value_of("q=1&q=2", "q"), "1");
}

TEST(request_context, a_value_may_contain_equals_signs) {
  EXPECT_EQ(value_of("q=a=b==&r", "q"), "a=b==");
}

TEST(request_context, an_invalid_escape_stays_as_it_is) {
  EXPECT_EQ(value_of("q=%&r=1", "q"), "%");
  EXPECT_EQ(value_of("q=%4", "q"), "%4");
  EXPECT_EQ(value_of("q=%zz%41", "q"), "%zzA");
}

TEST(request_context, header_names_compare_without_case) {
  request_context request;
  request.fields = {{"Content-Type", "a"}, {"content-type", "b"}, {"X-Empty", ""}};

  EXPECT_EQ(request.header("CONTENT-TYPE"), "a");
  EXPECT_EQ(request.header("absent"), "");
  EXPECT_TRUE(request.has_header("x-empty"));
  EXPECT_FALSE(request.has_header("x-emptyy"));
}

}  // namespace
}  // namespace pam::net
