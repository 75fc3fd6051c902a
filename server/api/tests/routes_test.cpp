#include "server/api/routes.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "server/api/descriptions.hpp"

namespace {

using pam::api::all_routes;
using pam::api::cost_of;
using pam::api::match_route;
using pam::net::cost_class;
using pam::net::method;
using pam::net::request_context;
using kind = pam::net::route_match::kind;

request_context request_for(method verb, std::string_view path, std::string_view query = "") {
  request_context request;
  request.verb = verb;
  request.path = path;
  request.query = query;
  return request;
}

TEST(routes, first_party_routes_answer_under_the_prefix_only) {
  EXPECT_EQ(match_route("/auth/v1", request_for(method::post, "/auth/v1/signup")).outcome, kind::found);
  EXPECT_EQ(match_route("/auth/v1", request_for(method::post, "/signup")).outcome, kind::not_found);
  EXPECT_EQ(match_route("/auth/v1", request_for(method::post, "/auth/v1signup")).outcome, kind::not_found);
  EXPECT_EQ(match_route("/auth/v1", request_for(method::get, "/auth/v1")).outcome, kind::not_found);
}

TEST(routes, an_empty_prefix_serves_everything_at_the_root) {
  EXPECT_EQ(match_route("", request_for(method::post, "/signup")).outcome, kind::found);
  EXPECT_EQ(match_route("", request_for(method::post, "/oauth2/revoke")).outcome, kind::found);
}

TEST(routes, oauth_answers_at_the_root_only) {
  for (const char* path : {"/oauth2/introspect", "/oauth2/revoke"}) {
    EXPECT_EQ(match_route("/auth/v1", request_for(method::post, path)).outcome, kind::found) << path;
    EXPECT_EQ(match_route("/auth/v1", request_for(method::get, path)).outcome, kind::method_not_allowed)
        << path;
    const std::string below_prefix = "/auth/v1" + std::string{path};
    EXPECT_EQ(match_route("/auth/v1", request_for(method::post, below_prefix)).outcome, kind::not_found)
        << path;
  }
}

TEST(routes, discovery_answers_at_the_root_and_under_the_prefix) {
  for (const char* path :
       {"/health", "/.well-known/jwks.json", "/auth/v1/health", "/auth/v1/.well-known/jwks.json"}) {
    EXPECT_EQ(match_route("/auth/v1", request_for(method::get, path)).outcome, kind::found) << path;
  }
}

TEST(routes, a_known_path_with_a_foreign_method_names_the_allowed_ones) {
  const auto match = match_route("/auth/v1", request_for(method::patch, "/auth/v1/user"));

  EXPECT_EQ(match.outcome, kind::method_not_allowed);
  EXPECT_NE(match.allow.find("GET"), std::string::npos);
  EXPECT_NE(match.allow.find("PUT"), std::string::npos);
}

TEST(routes, what_clients_know_and_no_route_answers_is_switched_off_under_the_prefix_only) {
  EXPECT_TRUE(pam::api::is_switched_off("/auth/v1", request_for(method::post, "/auth/v1/otp")));
  EXPECT_TRUE(pam::api::is_switched_off("/auth/v1", request_for(method::del, "/auth/v1/factors/1")));
  EXPECT_FALSE(pam::api::is_switched_off("/auth/v1", request_for(method::post, "/otp")));
  EXPECT_FALSE(pam::api::is_switched_off("/auth/v1", request_for(method::post, "/auth/v1/otp/more")));
}

TEST(routes, a_password_grant_is_admitted_as_hashing_and_a_refresh_as_writing) {
  const auto password = request_for(method::post, "/auth/v1/token", "grant_type=password");
  const auto refresh = request_for(method::post, "/auth/v1/token", "grant_type=refresh_token");

  EXPECT_EQ(cost_of(*match_route("/auth/v1", password).route, password), cost_class::hash);
  EXPECT_EQ(cost_of(*match_route("/auth/v1", refresh).route, refresh), cost_class::write);
}

TEST(routes, every_route_is_described_and_nothing_else) {
  const auto described = pam::api::route_descriptions();
  for (const auto& route : all_routes()) {
    const auto is_it = [&](const auto& each) {
      return each.verb == route.verb && each.pattern == route.pattern;
    };
    EXPECT_EQ(std::count_if(described.begin(), described.end(), is_it), 1)
        << pam::net::to_string(route.verb) << " " << route.pattern
        << " needs a row in server/api/descriptions.cpp";
  }
  EXPECT_EQ(described.size(), all_routes().size());
}

TEST(routes, every_schema_a_route_names_exists) {
  const auto exists = [](std::string_view name) {
    const auto known = pam::api::schemas();
    return std::any_of(known.begin(), known.end(), [&](const auto& each) { return each.name == name; });
  };
  for (const auto& route : pam::api::route_descriptions()) {
    EXPECT_EQ(route.body == pam::api::body_kind::none, route.request.empty()) << route.pattern;
    EXPECT_TRUE(route.request.empty() || exists(route.request)) << route.request;
    EXPECT_FALSE(route.answers.empty()) << route.pattern;
    for (const auto& answer : route.answers)
      EXPECT_TRUE(answer.schema.empty() || exists(answer.schema)) << answer.schema;
  }
}

TEST(routes, every_route_has_a_handler) {
  for (const auto& route : all_routes())
    EXPECT_NE(pam::api::handler_of(route.index), nullptr) << route.pattern;
}

}  // namespace
