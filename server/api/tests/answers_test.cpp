#include "server/api/answers.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace {

using pam::api::origin;
using pam::api::to_problem;
using pam::auth::errc;
using pam::auth::error;

error of(errc code) {
  error failure;
  failure.code = code;
  failure.detail = "private detail";
  return failure;
}

// auth-js takes any other 4xx on a refresh for a sign-out, and a 5xx but 503 for a broken server.
TEST(to_problem, a_refresh_answers_only_400_and_503) {
  for (errc code : {errc::account_not_found, errc::account_banned, errc::session_not_found,
                    errc::session_expired, errc::refresh_token_not_found, errc::refresh_token_reused,
                    errc::conflict, errc::overloaded, errc::unavailable, errc::internal}) {
    const unsigned status = to_problem(of(code), origin::token).http_status();
    EXPECT_TRUE(status == 400 || status == 503) << static_cast<int>(code) << " answered " << status;
  }
}

// Only this pair makes auth-js drop its stored session on a bearer route.
TEST(to_problem, an_ended_session_is_403_session_not_found_to_its_bearer) {
  const auto problem = to_problem(of(errc::session_not_found), origin::bearer);

  EXPECT_EQ(problem.http_status(), 403U);
  EXPECT_EQ(problem.code->code, "session_not_found");
}

TEST(to_problem, a_failed_lookup_is_never_a_missing_session) {
  for (errc code : {errc::unavailable, errc::overloaded, errc::internal}) {
    const auto problem = to_problem(of(code), origin::bearer);
    EXPECT_GE(problem.http_status(), 500U);
    EXPECT_NE(problem.code->code, "session_not_found");
  }
}

TEST(to_problem, an_internal_failure_keeps_its_detail_to_itself) {
  for (origin from : {origin::token, origin::bearer, origin::other}) {
    const auto problem = to_problem(of(errc::internal), from);
    EXPECT_EQ(problem.detail.find("private"), std::string::npos);
  }
}

TEST(to_problem, a_limit_is_named) {
  error full = of(errc::overloaded);
  full.reason = "hash_queue";

  const auto problem = to_problem(full, origin::other);

  EXPECT_EQ(problem.http_status(), 503U);
  EXPECT_EQ(problem.reason, "hash_queue");
}

TEST(to_problem, a_lost_answer_is_told_from_what_was_not_done) {
  error lost = of(errc::unavailable);
  lost.may_have_happened = true;

  EXPECT_TRUE(to_problem(lost, origin::token).may_have_happened);
  EXPECT_FALSE(to_problem(of(errc::unavailable), origin::token).may_have_happened);
  EXPECT_FALSE(to_problem(of(errc::overloaded), origin::token).may_have_happened);
  EXPECT_TRUE(to_problem(of(errc::internal), origin::token).may_have_happened);
}

TEST(to_problem, a_weak_password_says_in_which_ways) {
  error weak = of(errc::weak_password);
  weak.reasons = {"length", "pwned"};

  const auto problem = to_problem(weak, origin::other);

  EXPECT_EQ(problem.http_status(), 422U);
  EXPECT_EQ(problem.weak_password_reasons, (std::vector<std::string_view>{"length", "pwned"}));
}

TEST(wants_string_codes, only_a_date_from_2024_on_asks_for_them) {
  const auto asked = [](std::string_view version) {
    pam::net::request_context request;
    if (!version.empty()) request.fields.push_back({"X-Supabase-Api-Version", version});
    return pam::api::wants_string_codes(request);
  };

  EXPECT_TRUE(asked("2024-01-01"));
  EXPECT_TRUE(asked("2031-12-31"));
  for (const char* other : {"", "2023-12-31", "latest", "2024-1-1", "2024-01-01x", "v2024-01-1"}) {
    EXPECT_FALSE(asked(other)) << other;
  }
}

}  // namespace
