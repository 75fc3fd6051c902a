#include "server/net/detail/response_writer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <set>
#include <string>
#include <vector>

#include "server/net/detail/request_id.hpp"

namespace pam::net::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

std::string written(const request_context& request, bool keeps_alive = true,
                    std::chrono::milliseconds keep_alive = 75s) {
  response_writer writer(keep_alive);
  std::string text;
  const std::string_view rest =
      writer.write(request, keeps_alive, std::chrono::system_clock::time_point(784111777s), text);
  return text.append(rest);
}

TEST(response_writer, dates_have_the_form_of_rfc_9110) {
  const auto date = [](std::time_t at) {
    const auto text = format_http_date(at);
    return std::string(text.data(), text.size());
  };

  EXPECT_EQ(date(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
  EXPECT_EQ(date(1709210096), "Thu, 29 Feb 2024 12:34:56 GMT");
}

TEST(response_writer, an_answer_is_complete) {
  request_context request;
  request.request_id.fill('A');
  request.is_tls = true;
  request.out.status = 201;
  request.out.body = "{}";
  request.out.set("Retry-After", "3");

  EXPECT_EQ(written(request),
            "HTTP/1.1 201 Created\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
            "Connection: keep-alive\r\nKeep-Alive: timeout=75\r\nX-Content-Type-Options: nosniff\r\n"
            "Strict-Transport-Security: max-age=31536000\r\nCache-Control: no-store\r\n"
            "X-Request-Id: AAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"
            "Content-Type: application/json; charset=utf-8\r\nContent-Length: 2\r\nRetry-After: 3\r\n\r\n{}");
}

TEST(response_writer, nothing_of_the_answer_before_stays_in_the_next) {
  struct kind {
    unsigned status;
    std::time_t at;
    bool keeps_alive, is_tls, no_store;
    std::string_view content_type = "text/plain";
    std::string_view body = "x";
  };
  const auto written_by = [](response_writer& writer, const kind& of) {
    request_context request;
    request.request_id.fill('A');
    request.is_tls = of.is_tls;
    request.out.status = of.status;
    request.out.no_store = of.no_store;
    request.out.content_type = of.content_type;
    request.out.body = of.body;
    std::string text;
    const auto now = std::chrono::system_clock::from_time_t(of.at);
    static_cast<void>(writer.write(request, of.keeps_alive, now, text));
    return text;
  };
  // Each differs from the one before in one thing, and the last ones come a second time.
  const std::vector<kind> kinds{{200, 784111777, true, true, true},
                                {200, 784111778, true, true, true},
                                {404, 784111778, true, true, true},
                                {503, 784111778, true, true, true},
                                {200, 784111778, true, true, true},
                                {200, 784111778, false, true, true},
                                {200, 784111778, false, false, true},
                                {200, 784111778, false, false, false},
                                {200, 784111778, false, false, false, "text/html"},
                                {200, 784111778, false, false, false, "text/html", ""},
                                {503, 784111778, true, true, true},
                                {200, 784111778, false, false, false}};
  response_writer kept(75s);
  std::set<std::string> seen;

  for (const kind& each : kinds) {
    response_writer fresh(75s);
    const std::string text = written_by(kept, each);
    EXPECT_EQ(text, written_by(fresh, each));
    seen.insert(text);
  }

  EXPECT_EQ(seen.size(), 9u);
}

TEST(response_writer, a_header_value_cannot_begin_another_header) {
  request_context request;
  request.out.set("Location", "/x\r\nSet-Cookie: a=b");

  EXPECT_THAT(written(request), HasSubstr("Location: /x  Set-Cookie: a=b\r\n"));
}

TEST(response_writer, an_empty_answer_has_a_length_and_no_type) {
  const std::string text = written({});

  EXPECT_THAT(text, HasSubstr("Content-Length: 0\r\n"));
  EXPECT_THAT(text, Not(HasSubstr("Content-Type:")));
}

TEST(response_writer, a_small_body_leaves_with_its_head_whoever_owns_it) {
  request_context own;
  own.out.body = std::string(largest_joined_body, 'x');
  request_context shared;
  shared.out.document = std::make_shared<const std::string>(own.out.body);
  response_writer writer(75s);

  for (const request_context* request : {&own, &shared}) {
    std::string text;
    EXPECT_EQ(writer.write(*request, true, {}, text), "");
    EXPECT_THAT(text, EndsWith("\r\n\r\n" + own.out.body));
  }
}

TEST(response_writer, a_large_body_stays_where_it_is_whoever_owns_it) {
  request_context own;
  own.out.body = std::string(largest_joined_body + 1, 'x');
  request_context shared;
  shared.out.document = std::make_shared<const std::string>(own.out.body);
  response_writer writer(75s);

  for (const request_context* request : {&own, &shared}) {
    std::string text;
    const std::string_view rest = writer.write(*request, true, {}, text);
    EXPECT_EQ(rest.data(), request->out.content().data());
    EXPECT_EQ(rest.size(), largest_joined_body + 1);
    EXPECT_THAT(text, HasSubstr("Content-Length: 15361\r\n"));
    EXPECT_THAT(text, HasSubstr("Content-Type: application/json"));
    EXPECT_THAT(text, EndsWith("\r\n\r\n"));
  }
}

TEST(response_writer, a_large_body_is_left_out_after_head) {
  request_context request;
  request.verb = method::head;
  request.out.body = std::string(largest_joined_body + 1, 'x');

  EXPECT_THAT(written(request), HasSubstr("Content-Length: 15361\r\n"));
  EXPECT_THAT(written(request), EndsWith("\r\n\r\n"));
}

TEST(response_writer, not_modified_and_no_content_have_neither_length_nor_body) {
  for (const unsigned status : {204u, 304u}) {
    request_context request;
    request.out.status = status;
    request.out.body = "dropped";

    EXPECT_THAT(written(request), Not(HasSubstr("Content-Length"))) << status;
    EXPECT_THAT(written(request), EndsWith("\r\n\r\n")) << status;
  }
}

TEST(response_writer, cache_control_is_left_to_the_handler_when_asked) {
  request_context request;
  request.out.no_store = false;
  request.out.set("Cache-Control", "public, max-age=600");

  EXPECT_THAT(written(request), Not(HasSubstr("no-store")));
}

TEST(response_writer, a_promise_below_a_second_is_not_announced) {
  EXPECT_THAT(written({}, true, 900ms), Not(HasSubstr("timeout=")));
  EXPECT_THAT(written({}, false), HasSubstr("Connection: close\r\n"));
}

TEST(request_id, time_and_randomness_are_encoded_in_order) {
  const auto text = [](std::uint64_t time, std::uint8_t byte) {
    std::array<std::uint8_t, 16> random{};
    random.fill(byte);
    const auto id = encode_request_id(time, random);
    return std::string(id.data(), id.size());
  };

  EXPECT_EQ(text(0, 0), std::string(26, '0'));
  EXPECT_EQ(text(1469918176385, 0), "01ARYZ6S41" + std::string(16, '0'));
  EXPECT_EQ(text(0, 0xff), std::string(10, '0') + std::string(16, 'Z'));
  EXPECT_LT(text(1, 0xff), text(2, 0));
}

TEST(request_id, ids_of_one_millisecond_differ) {
  request_ids ids;
  const std::chrono::system_clock::time_point now{};
  std::vector<std::array<char, 26>> made(1000);
  for (auto& id : made) id = ids.next(now);
  std::sort(made.begin(), made.end());

  EXPECT_EQ(std::adjacent_find(made.begin(), made.end()), made.end());
}

}  // namespace
}  // namespace pam::net::detail
