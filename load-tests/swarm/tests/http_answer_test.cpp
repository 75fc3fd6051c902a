#include "load-tests/swarm/http_answer.hpp"

#include <string>

#include <gtest/gtest.h>

namespace pam::load {
namespace {

const std::string whole =
    "HTTP/1.1 200 OK\r\nDate: x\r\ncontent-LENGTH:  5\r\nConnection: keep-alive\r\n\r\nhello";

TEST(http_answer, is_complete_with_its_last_byte_and_not_before) {
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const parsed_answer parsed = parse_answer(std::string_view(whole).substr(0, size));
    EXPECT_FALSE(parsed.answer) << size;
    EXPECT_FALSE(parsed.is_malformed) << size;
  }
  const parsed_answer parsed = parse_answer(whole);
  ASSERT_TRUE(parsed.answer);
  EXPECT_EQ(parsed.answer->status, 200U);
  EXPECT_EQ(parsed.answer->body, "hello");
  EXPECT_EQ(parsed.answer->bytes, whole.size());
  EXPECT_FALSE(parsed.answer->closes);
}

TEST(http_answer, bytes_of_a_second_answer_are_left) {
  const parsed_answer parsed = parse_answer(whole + "HTTP/1.1 200");
  ASSERT_TRUE(parsed.answer);
  EXPECT_EQ(parsed.answer->bytes, whole.size());
}

TEST(http_answer, no_content_needs_no_length_and_close_is_seen) {
  const parsed_answer parsed = parse_answer("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n");
  ASSERT_TRUE(parsed.answer);
  EXPECT_EQ(parsed.answer->status, 204U);
  EXPECT_TRUE(parsed.answer->closes);
}

TEST(http_answer, says_when_to_come_back) {
  const parsed_answer parsed =
      parse_answer("HTTP/1.1 503 Busy\r\nRetry-after: 7\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(parsed.answer);
  EXPECT_EQ(parsed.answer->retry_after, 7U);
  EXPECT_FALSE(parse_answer(whole).answer->retry_after);
  EXPECT_TRUE(
      parse_answer("HTTP/1.1 503 Busy\r\nRetry-After: soon\r\nContent-Length: 0\r\n\r\n").is_malformed);
}

TEST(http_answer, refuses_what_is_no_final_http_answer) {
  EXPECT_TRUE(parse_answer("SSH-2.0").is_malformed);
  EXPECT_TRUE(parse_answer("HTTP/1.1 1000 x\r\n\r\n").is_malformed);
  EXPECT_TRUE(parse_answer("HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n").is_malformed);
  EXPECT_TRUE(parse_answer("HTTP/1.1 200 OK\r\nno colon\r\n\r\n").is_malformed);
}

}  // namespace
}  // namespace pam::load
