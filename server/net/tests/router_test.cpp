#include "server/net/router.hpp"

#include <gtest/gtest.h>

namespace pam::net {
namespace {

constexpr std::array table{
    route{method::get, "/user", cost_class::read, 1},
    route{method::put, "/user", cost_class::write, 2},
    route{method::get, "/admin/users/{id}", cost_class::read, 3},
    route{method::get, "/admin/users/me", cost_class::read, 4},
    route{method::del, "/admin/users/{id}/factors/{factor}", cost_class::write, 5},
    route{method::post, "/{a}/{b}/{c}/{d}/x", cost_class::write, 6},
    route{method::get, "/", cost_class::free, 7},
};
using kind = route_match::kind;

std::size_t index_of(method verb, std::string_view path) {
  const route_match found = match(table, verb, path);
  return found.outcome == kind::found ? found.route->index : 0;
}

TEST(router, the_method_chooses_among_routes_of_one_path) {
  EXPECT_EQ(index_of(method::get, "/user"), 1u);
  EXPECT_EQ(index_of(method::put, "/user"), 2u);
}

TEST(router, head_is_served_by_get) {
  EXPECT_EQ(index_of(method::head, "/user"), 1u);
}

TEST(router, parameters_are_captured_in_order_and_not_decoded) {
  const route_match found = match(table, method::del, "/admin/users/a%2Fb/factors/f");

  ASSERT_EQ(found.outcome, kind::found);
  EXPECT_EQ(found.route->index, 5u);
  EXPECT_EQ(found.parameters[0], "a%2Fb");
  EXPECT_EQ(found.parameters[1], "f");
  EXPECT_EQ(match(table, method::post, "/1/2/3/4/x").parameters[3], "4");
}

TEST(router, a_literal_segment_beats_a_parameter) {
  EXPECT_EQ(index_of(method::get, "/admin/users/me"), 4u);
  EXPECT_EQ(index_of(method::get, "/admin/users/you"), 3u);
}

TEST(router, an_unknown_path_is_not_found) {
  for (const std::string_view path :
       {"/users", "/user/", "/admin/users/", "/admin/users", "/admin/users/a/b", "//user", "", "user", "*"}) {
    EXPECT_EQ(match(table, method::get, path).outcome, kind::not_found) << path;
  }
  EXPECT_EQ(index_of(method::get, "/"), 7u);
}

TEST(router, a_known_path_with_another_method_says_what_is_allowed) {
  const route_match found = match(table, method::post, "/user");

  EXPECT_EQ(found.outcome, kind::method_not_allowed);
  EXPECT_EQ(found.allow, "GET, PUT, OPTIONS");
  EXPECT_EQ(found.route, nullptr);
}

TEST(router, options_is_left_to_the_service) {
  EXPECT_EQ(match(table, method::options, "/user").outcome, kind::method_not_allowed);
}

}  // namespace
}  // namespace pam::net
