#include "server/runtime/trace_span.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>

namespace pam::runtime {
namespace {

using namespace std::chrono_literals;
using async::call_step;
using async::call_timeline;
using ::testing::HasSubstr;
using ::testing::Not;

/// A request that began at one second, with a hash that waited 1 ms and took 2 ms, 5 ms after its beginning.
trace_span request_with_a_hash() {
  trace_span span;
  span.method = "POST";
  span.route = "/token";
  span.status = 200;
  span.request_id.fill('A');
  span.began = std::chrono::system_clock::time_point{1s};
  span.duration = 10ms;
  child_span& hash = span.children.emplace_back();
  hash.after = 5ms;
  hash.step.what = call_step::kind::hash;
  hash.step.name = "verify_password";
  hash.step.asked = call_step::time_point{100s};
  hash.step.began = hash.step.asked + 1ms;
  hash.step.ended = hash.step.asked + 3ms;
  return span;
}

std::string encoded(const trace_span& span) {
  return encode_otlp({&span, 1});
}

TEST(trace_span, a_child_stands_where_it_was_in_its_request) {
  const std::string text = encoded(request_with_a_hash());

  EXPECT_THAT(text, HasSubstr(R"("startTimeUnixNano":"1000000000","endTimeUnixNano":"1010000000")"));
  EXPECT_THAT(text, HasSubstr(R"("startTimeUnixNano":"1005000000","endTimeUnixNano":"1008000000")"));
  EXPECT_THAT(text, HasSubstr(R"({"key":"pam.queue_us","value":{"intValue":"1000"}})"));
  EXPECT_THAT(text, HasSubstr(R"({"key":"pam.work_us","value":{"intValue":"2000"}})"));
}

TEST(trace_span, a_hash_is_no_client_of_a_database) {
  const std::string text = encoded(request_with_a_hash());

  EXPECT_THAT(text, HasSubstr(R"("name":"verify_password","kind":1)"));
  EXPECT_THAT(text, Not(HasSubstr("db.")));
}

TEST(trace_span, an_answer_that_nobody_took_is_an_error) {
  trace_span span = request_with_a_hash();
  EXPECT_THAT(encoded(span), Not(HasSubstr(R"("status":{"code":2})")));

  span.was_sent = false;

  EXPECT_THAT(encoded(span), HasSubstr(R"("status":{"code":2})"));
}

TEST(trace_span, children_beyond_the_limit_are_told_of) {
  trace_span span = request_with_a_hash();
  EXPECT_THAT(encoded(span), Not(HasSubstr("pam.dropped_spans")));

  span.dropped_children = 3;

  EXPECT_THAT(encoded(span), HasSubstr(R"({"key":"pam.dropped_spans","value":{"intValue":"3"}})"));
}

TEST(call_timeline, keeps_the_first_steps_and_counts_the_rest) {
  call_timeline timeline;
  for (std::size_t i = 0; i < call_timeline::limit + 3; ++i) {
    call_step step;
    step.name = i < call_timeline::limit ? "kept" : "dropped";
    timeline.add(step);
  }

  EXPECT_EQ(timeline.steps().size(), call_timeline::limit);
  EXPECT_EQ(timeline.steps().back().name, "kept");
  EXPECT_EQ(timeline.dropped(), 3u);
}

}  // namespace
}  // namespace pam::runtime
