#include "server/net/detail/head_parser.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace pam::net::detail {
namespace {

struct parsed {
  unsigned status = 0;  ///< 0: accepted
  request_context request;
  framing body;
};

/// Scans and parses a complete head; the text must outlive the result.
parsed parse(std::string_view text, const limits& bounds = {}) {
  parsed result;
  head_scanner scanner;
  const auto outcome = scanner.scan(text, bounds);
  if (outcome == head_scanner::outcome::refused) {
    result.status = scanner.why().status;
  } else if (outcome == head_scanner::outcome::found) {
    const std::string_view head = text.substr(scanner.begin(), scanner.end() - scanner.begin());
    result.status = parse_head(head, bounds, result.request, result.body).status;
  } else {
    result.status = 999;
  }
  return result;
}

unsigned status_with(const std::string& fields) {
  return parse("POST /x HTTP/1.1\r\n" + fields + "\r\n").status;
}

TEST(head_parser, a_request_is_taken_apart) {
  const std::string text = "PUT /a/b?c=d&e HTTP/1.1\r\nHost: example.org:8443\r\nX-A:  v w \r\n\r\n";

  const parsed got = parse(text);

  ASSERT_EQ(got.status, 0u);
  EXPECT_EQ(got.request.verb, method::put);
  EXPECT_EQ(got.request.target, "/a/b?c=d&e");
  EXPECT_EQ(got.request.path, "/a/b");
  EXPECT_EQ(got.request.query, "c=d&e");
  EXPECT_EQ(got.request.header("x-a"), "v w");
  EXPECT_TRUE(got.request.keep_alive);
}

TEST(head_parser, methods_are_case_sensitive_and_unknown_ones_pass) {
  EXPECT_EQ(parse("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n").request.verb, method::del);
  EXPECT_EQ(parse("PATCH / HTTP/1.1\r\nHost: a\r\n\r\n").request.verb, method::patch);
  EXPECT_EQ(parse("get / HTTP/1.1\r\nHost: a\r\n\r\n").request.verb, method::other);
  EXPECT_EQ(parse("BREW / HTTP/1.1\r\nHost: a\r\n\r\n").status, 0u);
}

TEST(head_parser, request_lines_that_are_malformed_are_refused) {
  for (const std::string line : {"GET  / HTTP/1.1",
                                 "GET / HTTP/1.1 ",
                                 " GET / HTTP/1.1",
                                 "GET /",
                                 "GET / HTTP/1.x",
                                 "GET / http/1.1",
                                 "G\x01T / HTTP/1.1",
                                 "GET /\x01 HTTP/1.1",
                                 "GET /\t HTTP/1.1",
                                 "GET /\x7f HTTP/1.1",
                                 "/ HTTP/1.1",
                                 "GET /a#b HTTP/1.1",
                                 "GET a HTTP/1.1",
                                 "GET * HTTP/1.1",
                                 "CONNECT a:1 HTTP/1.1",
                                 "GET ftp://a/ HTTP/1.1",
                                 "GET http:///x HTTP/1.1",
                                 "GET",
                                 "",
                                 "GET / HTTP/1.1\rX"}) {
    if (line.empty()) continue;
    EXPECT_EQ(parse(line + "\r\nHost: a\r\n\r\n").status, 400u) << line;
  }
}

TEST(head_parser, nul_is_refused_everywhere) {
  const std::string text = "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";
  for (std::size_t at = 0; at + 4 < text.size(); ++at) {
    std::string broken = text;
    broken[at] = '\0';
    EXPECT_EQ(parse(broken).status, 400u) << at;
  }
}

TEST(head_parser, other_versions_are_505) {
  EXPECT_EQ(parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n").status, 505u);
  EXPECT_EQ(parse("GET / HTTP/1.2\r\nHost: a\r\n\r\n").status, 505u);
  EXPECT_EQ(parse("PRI * HTTP/2.0\r\n\r\n").status, 505u);
}

TEST(head_parser, absolute_targets_are_split_and_a_missing_path_is_a_slash) {
  const std::string with_path = "GET HTTP://other:80/p?q HTTP/1.1\r\nHost: Other:80\r\n\r\n";
  const std::string without = "GET https://other?q HTTP/1.1\r\nHost: other\r\n\r\n";

  const parsed first = parse(with_path);
  const parsed second = parse(without);

  EXPECT_EQ(first.request.path, "/p");
  EXPECT_EQ(first.request.query, "q");
  EXPECT_EQ(second.request.path, "/");
  EXPECT_EQ(second.request.query, "q");
}

TEST(head_parser, the_host_of_an_absolute_target_is_well_formed_and_the_same_as_in_host) {
  const auto status_of = [](const std::string& authority, const std::string& host) {
    return parse("GET http://" + authority + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n").status;
  };

  EXPECT_EQ(status_of("good", "good"), 0u);
  EXPECT_EQ(status_of("[::1]:80", "[::1]:80"), 0u);
  EXPECT_EQ(status_of("evil", "good"), 400u);
  EXPECT_EQ(status_of("good:81", "good"), 400u);
  EXPECT_EQ(status_of("good", ""), 400u);
  for (const std::string authority :
       {"user@evil", "user:pass@good", "good:x", ":80", "[::1", "[::1]x", "a,b"}) {
    EXPECT_EQ(status_of(authority, "good"), 400u) << authority;
    EXPECT_EQ(parse("GET http://" + authority + "/ HTTP/1.0\r\n\r\n").status, 400u) << authority;
  }
  EXPECT_EQ(parse("GET http://good/ HTTP/1.0\r\n\r\n").status, 0u);
}

TEST(head_parser, asterisk_is_for_options) {
  EXPECT_EQ(parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").status, 0u);
}

TEST(head_parser, host_is_required_once_in_http_11_and_well_formed) {
  EXPECT_EQ(status_with(""), 400u);
  EXPECT_EQ(status_with("Host: a\r\nhost: a\r\n"), 400u);
  EXPECT_EQ(status_with("Host: a, b\r\n"), 400u);
  EXPECT_EQ(status_with("Host: u@a\r\n"), 400u);
  EXPECT_EQ(status_with("Host: a/b\r\n"), 400u);
  EXPECT_EQ(status_with("Host: a:b\r\n"), 400u);
  EXPECT_EQ(status_with("Host: a:1:2\r\n"), 400u);
  EXPECT_EQ(status_with("Host: [::1]x\r\n"), 400u);
  EXPECT_EQ(status_with("Host: a:8443\r\n"), 0u);
  EXPECT_EQ(status_with("Host: [::1]:80\r\n"), 0u);
  EXPECT_EQ(status_with("Host:\r\n"), 0u);
  EXPECT_EQ(parse("GET / HTTP/1.0\r\n\r\n").status, 0u);
}

TEST(head_parser, fields_that_are_malformed_are_refused) {
  for (const std::string field : {"X : b", "X\t: b", ": b", "X", "X y: b", " X: b", "\tX: b", "X: b\x01",
                                  "X: b\x7f", "X: b\rY: c", "X(: b", "X\x80: b"}) {
    EXPECT_EQ(status_with("Host: a\r\n" + field + "\r\n"), 400u) << field;
  }
}

TEST(head_parser, folded_lines_are_refused) {
  EXPECT_EQ(status_with("Host: a\r\nX: b\r\n c\r\n"), 400u);
  EXPECT_EQ(status_with("Host: a\r\nX: b\r\n\tc\r\n"), 400u);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\n Host: a\r\n\r\n").status, 400u);
}

TEST(head_parser, bare_line_feeds_are_refused) {
  EXPECT_EQ(parse("GET / HTTP/1.1\nHost: a\r\n\r\n").status, 400u);
  EXPECT_EQ(status_with("Host: a\nX: b\r\n"), 400u);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\n\n").status, 400u);
  EXPECT_EQ(parse("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 400u);
}

TEST(head_parser, empty_lines_before_the_request_are_ignored) {
  EXPECT_EQ(parse("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").status, 0u);
}

TEST(head_parser, framing_with_two_readings_is_refused) {
  for (const std::string fields :
       {"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: 1, 1\r\n", "Content-Length: 1,\r\n",
        "Content-Length: +1\r\n", "Content-Length: -1\r\n", "Content-Length: 0x1\r\n",
        "Content-Length: 1 1\r\n", "Content-Length:\r\n", "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"}) {
    EXPECT_EQ(status_with("Host: a\r\n" + fields), 400u) << fields;
  }
}

TEST(head_parser, transfer_codings_other_than_chunked_are_not_implemented) {
  for (const std::string coding :
       {"gzip", "gzip, chunked", "chunked, gzip", "identity", "xchunked", "chunked;q=1", ""}) {
    const unsigned status = status_with("Host: a\r\nTransfer-Encoding: " + coding + "\r\n");
    EXPECT_TRUE(status == 501 || status == 400) << coding << " " << status;
  }
  EXPECT_EQ(status_with("Host: a\r\nTransfer-Encoding: gzip, chunked\r\n"), 501u);
  EXPECT_EQ(parse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").status, 400u);
}

TEST(head_parser, the_length_and_the_coding_are_read) {
  EXPECT_EQ(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n").body.content_length,
            65'536u);
  EXPECT_TRUE(parse("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n").body.is_chunked);
  EXPECT_EQ(status_with("Host: a\r\nContent-Length: 65537\r\n"), 413u);
  // Decimal whatever it begins with (RFC 9110 section 8.6): read as octal it would be 8.
  EXPECT_EQ(parse("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 010\r\n\r\n").body.content_length, 10u);
}

TEST(head_parser, keep_alive_follows_version_and_connection_options) {
  const auto keeps = [](const std::string& rest) {
    return parse("GET / HTTP/1." + rest + "\r\n").request.keep_alive;
  };

  EXPECT_TRUE(keeps("1\r\nHost: a\r\n"));
  EXPECT_FALSE(keeps("1\r\nHost: a\r\nConnection: Close\r\n"));
  EXPECT_FALSE(keeps("1\r\nHost: a\r\nConnection: x, close\r\nConnection: keep-alive\r\n"));
  EXPECT_FALSE(keeps("0\r\n"));
  EXPECT_TRUE(keeps("0\r\nConnection: keep-alive\r\n"));
}

TEST(head_parser, only_100_continue_can_be_expected) {
  const std::string known = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n";

  EXPECT_TRUE(parse(known).body.expects_continue);
  EXPECT_EQ(status_with("Host: a\r\nExpect: something\r\n"), 417u);
}

TEST(head_parser, more_fields_or_bytes_than_the_limits_are_431_or_414) {
  std::string fields = "Host: a\r\n";
  for (int i = 0; i < 99; ++i) fields += "X: y\r\n";
  limits small;
  small.header_bytes = 64;

  EXPECT_EQ(status_with(fields), 0u);
  EXPECT_EQ(status_with(fields + "X: y\r\n"), 431u);
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(64, 'x') + "\r\n\r\n", small).status,
            431u);
  EXPECT_EQ(parse("GET /" + std::string(64, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n", small).status, 414u);
  EXPECT_EQ(parse(std::string(65, 'x'), small).status, 414u);
}

}  // namespace
}  // namespace pam::net::detail
