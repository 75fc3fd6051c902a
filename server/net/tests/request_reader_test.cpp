#include "server/net/detail/request_reader.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace pam::net::detail {
namespace {

using stage = request_reader::stage;

void feed(exchange& into, std::string_view bytes) {
  while (!bytes.empty()) {
    const std::span<char> room = into.reader.room();
    const std::size_t length = std::min(room.size(), bytes.size());
    std::copy_n(bytes.begin(), length, room.begin());
    into.reader.received(length);
    bytes.remove_prefix(length);
  }
}

/// Everything a request means, as text.
std::string describe(exchange& from, stage at) {
  if (at == stage::refused) {
    return "refused " + std::to_string(from.reader.why().status) + " " +
           std::string(from.reader.why().detail);
  }
  if (at != stage::complete) return "incomplete";
  std::string text =
      std::string(to_string(from.verb)) + " " + std::string(from.path) + " ? " + std::string(from.query);
  for (const header_field& field : from.fields)
    text += " | " + std::string(field.name) + "=" + std::string(field.value);
  return text + " # " + std::string(from.body) + " + " + std::string(from.reader.rest());
}

std::string read_in_pieces(const std::string& text, const std::vector<std::size_t>& cuts,
                           const limits& bounds) {
  exchange request;
  std::size_t begin = 0;
  stage at = stage::head;
  for (std::size_t i = 0; i <= cuts.size(); ++i) {
    const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
    feed(request, std::string_view(text).substr(begin, end - begin));
    at = request.reader.advance(bounds);
    if (at == stage::complete || at == stage::refused) {
      // The bytes that are not read yet follow the request.
      std::string told = describe(request, at);
      if (at == stage::complete) told += text.substr(end);
      return told;
    }
    begin = end;
  }
  return describe(request, at);
}

const std::vector<std::string> samples{
    "GET /a?b=c HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\nGET /next",
    "\r\nPOST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello tail",
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
    "chunked\r\n\r\n3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nT: u\r\n\r\nrest",
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n41\r\nabcd",
    "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: "
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234\r\n\r\n",
    "GET /0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456 "
    "HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
};

limits small_limits() {
  limits bounds;
  bounds.header_bytes = 100;
  bounds.body_bytes = 64;
  return bounds;
}

TEST(request_reader, a_request_means_the_same_wherever_it_is_cut) {
  for (const std::string& sample : samples) {
    const std::string whole = read_in_pieces(sample, {}, small_limits());
    for (std::size_t cut = 0; cut <= sample.size(); ++cut) {
      EXPECT_EQ(read_in_pieces(sample, {cut}, small_limits()), whole) << cut;
    }
  }
}

TEST(request_reader, a_request_means_the_same_byte_by_byte) {
  for (const std::string& sample : samples) {
    std::vector<std::size_t> cuts(sample.size());
    for (std::size_t i = 0; i < cuts.size(); ++i) cuts[i] = i + 1;
    EXPECT_EQ(read_in_pieces(sample, cuts, small_limits()), read_in_pieces(sample, {}, small_limits()));
  }
}

TEST(request_reader, views_stay_valid_when_the_buffer_grows) {
  exchange request;
  const std::string body(60'000, 'b');

  feed(request,
       "POST /path?q=1 HTTP/1.1\r\nHost: a\r\nX: kept\r\nTransfer-Encoding: chunked\r\n\r\nea60\r\n");
  ASSERT_EQ(request.reader.advance({}), stage::chunked_body);
  for (std::size_t at = 0; at < body.size(); at += 1000) {
    feed(request, std::string_view(body).substr(at, 1000));
    request.reader.advance({});
  }
  feed(request, "\r\n0\r\n\r\n");

  ASSERT_EQ(request.reader.advance({}), stage::complete);
  EXPECT_EQ(request.body, body);
  EXPECT_EQ(request.path, "/path");
  EXPECT_EQ(request.query, "q=1");
  EXPECT_EQ(request.header("x"), "kept");
}

TEST(request_reader, tiny_chunks_do_not_grow_the_buffer_beyond_the_body) {
  exchange request;
  feed(request, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 3000; ++i) {
    feed(request, "1\r\nx\r\n");
    ASSERT_EQ(request.reader.advance({}), stage::chunked_body);
  }

  EXPECT_LE(request.reader.room().size(), 4096u) << "3000 decoded bytes fit the first buffer";
}

TEST(request_reader, a_reset_reader_takes_another_request) {
  exchange request;
  feed(request, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
  request.reader.advance({});
  request.out.body.assign(100'000, 'x');
  request.out.document = std::make_shared<const std::string>("y");
  request.out.status = 404;
  request.out.close = true;
  request.out.no_store = false;
  request.out.content_type = "text/plain";
  request.out.set("A", "b");

  request.reset();
  feed(request, "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n");

  ASSERT_EQ(request.reader.advance({}), stage::complete);
  EXPECT_EQ(request.path, "/2");
  EXPECT_EQ(request.fields.size(), 1u);
  EXPECT_EQ(request.out.status, 200u);
  EXPECT_EQ(request.out.body, "");
  EXPECT_LE(request.out.body.capacity(), 16u * 1024) << "what a large answer took is given back";
  EXPECT_EQ(request.out.document, nullptr);
  EXPECT_FALSE(request.out.close);
  EXPECT_TRUE(request.out.no_store);
  EXPECT_EQ(request.out.content_type, response{}.content_type);
  EXPECT_TRUE(request.out.headers.empty());
}

TEST(request_reader, continue_is_wanted_only_before_the_body) {
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  exchange waiting;
  exchange begun;
  feed(waiting, head);
  feed(begun, head + "a");

  waiting.reader.advance({});
  begun.reader.advance({});

  EXPECT_TRUE(waiting.reader.wants_continue());
  EXPECT_FALSE(begun.reader.wants_continue());
}

}  // namespace
}  // namespace pam::net::detail
