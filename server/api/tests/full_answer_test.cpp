#include "server/api/full_answer.hpp"

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "protocol/problem.hpp"

namespace pam::api {
namespace {

constexpr std::string_view site = "https://auth.example";
constexpr std::string_view id = "01M8AM8V0VZCFB8Z0PDD0PH7P7";

net::request_context refused(net::cost_class cost, bool string_codes) {
  net::request_context request;
  std::ranges::copy(id, request.request_id.begin());
  if (string_codes) request.fields.push_back({"X-Supabase-Api-Version", "2024-01-01"});
  full_answer(cost, site).answer(request, std::chrono::seconds{17});
  return request;
}

std::string value_of(const net::request_context& request, std::string_view name) {
  const auto& all = request.out.headers;
  const auto found = std::ranges::find(all, name, [](const auto& each) { return each.first; });
  return found == all.end() ? "absent" : found->second;
}

TEST(full_answer, is_the_problem_it_was_prepared_from) {
  for (const net::cost_class cost : {net::cost_class::read, net::cost_class::write, net::cost_class::hash}) {
    for (const bool string_codes : {false, true}) {
      protocol::problem what;
      what.code = &protocol::codes::over_capacity;
      what.detail = full_detail;
      what.reason = net::to_string(cost);
      what.request_id = id;
      const net::request_context request = refused(cost, string_codes);
      EXPECT_EQ(request.out.body, protocol::encode(what, string_codes, site));
      EXPECT_EQ(request.out.status, 503U);
      EXPECT_EQ(request.out.content_type, "application/problem+json");
    }
  }
}

TEST(full_answer, says_what_it_is_and_when_to_come_back) {
  const net::request_context request = refused(net::cost_class::read, false);
  EXPECT_EQ(value_of(request, "x-sb-error-code"), "over_capacity");
  EXPECT_EQ(value_of(request, "Retry-After"), "17");
}

TEST(full_answer, is_each_requests_own) {
  const full_answer prepared(net::cost_class::write, site);
  net::request_context first;
  net::request_context second;
  first.request_id.fill('A');
  second.request_id.fill('B');
  prepared.answer(first, std::chrono::seconds{1});
  prepared.answer(second, std::chrono::seconds{1});
  EXPECT_NE(first.out.body.find(std::string(first.request_id.size(), 'A')), std::string::npos);
  EXPECT_EQ(second.out.body.find(first.id()), std::string::npos);
  EXPECT_NE(second.out.body.find(std::string(second.request_id.size(), 'B')), std::string::npos);
}

}  // namespace
}  // namespace pam::api
