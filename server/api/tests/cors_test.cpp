#include "server/api/cors.hpp"

#include <gtest/gtest.h>

namespace {

using pam::api::add_cors;
using pam::api::answer_preflight;
using pam::net::request_context;

std::string header_of(const request_context& request, std::string_view name) {
  for (const auto& [key, value] : request.out.headers) {
    if (key == name) return value;
  }
  return "";
}

TEST(cors, any_origin_is_answered_with_a_star) {
  request_context request;
  request.fields.push_back({"Origin", "https://app.example"});

  add_cors({"*"}, request);

  EXPECT_EQ(header_of(request, "Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(header_of(request, "Vary"), "Origin");
}

TEST(cors, listed_origin_is_echoed_and_varies) {
  request_context request;
  request.fields.push_back({"Origin", "https://app.example"});

  add_cors({"https://app.example"}, request);

  EXPECT_EQ(header_of(request, "Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(header_of(request, "Vary"), "Origin");
}

TEST(cors, foreign_origin_gets_no_permission_but_varies) {
  request_context request;
  request.fields.push_back({"Origin", "https://evil.example"});

  add_cors({"https://app.example"}, request);

  EXPECT_EQ(header_of(request, "Access-Control-Allow-Origin"), "");
  EXPECT_EQ(header_of(request, "Vary"), "Origin");
}

TEST(cors, answer_without_an_origin_still_varies) {
  request_context request;

  add_cors({"https://app.example"}, request);

  EXPECT_EQ(header_of(request, "Vary"), "Origin");
}

TEST(cors, clients_may_read_the_headers_the_sdks_use) {
  request_context request;
  request.fields.push_back({"Origin", "https://app.example"});

  add_cors({"*"}, request);

  const std::string exposed = header_of(request, "Access-Control-Expose-Headers");
  for (const char* name : {"x-supabase-api-version", "X-Total-Count", "Link", "Retry-After", "X-Request-Id",
                           "x-sb-error-code"}) {
    EXPECT_NE(exposed.find(name), std::string::npos) << name;
  }
}

TEST(cors, preflight_allows_every_header_the_sdks_send) {
  request_context request;
  request.fields.push_back({"Origin", "https://app.example"});

  answer_preflight({"*"}, request);

  EXPECT_EQ(request.out.status, 204U);
  const std::string allowed = header_of(request, "Access-Control-Allow-Headers");
  for (const char* name :
       {"authorization", "apikey", "content-type", "accept", "x-client-info", "x-supabase-api-version",
        "x-client-ip", "x-retry-count", "traceparent", "tracestate", "baggage", "x-jwt-aud"}) {
    EXPECT_NE(allowed.find(name), std::string::npos) << name;
  }
}

TEST(cors, preflight_of_a_foreign_origin_allows_nothing) {
  request_context request;
  request.fields.push_back({"Origin", "https://evil.example"});

  answer_preflight({"https://app.example"}, request);

  EXPECT_EQ(header_of(request, "Access-Control-Allow-Methods"), "");
}

}  // namespace
