#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/net/detail/proxy_header.hpp"

namespace pam::net::test {
namespace {

using detail::proxy_header;
using detail::read_proxy_header;
using outcome = proxy_header::outcome;
using namespace std::string_literals;

const std::string signature = "\r\n\r\n\0\r\nQUIT\n"s;

std::string number(std::size_t value) {
  return {static_cast<char>(value >> 8U), static_cast<char>(value & 0xffU)};
}

std::string v2(unsigned command, unsigned family, const std::string& rest) {
  return signature + static_cast<char>(command) + static_cast<char>(family) + number(rest.size()) + rest;
}

std::string tlv(unsigned type, const std::string& value) {
  return static_cast<char>(type) + number(value.size()) + value;
}

const std::string v4_pair = "\xcb\x00\x71\x07\x0a\x00\x00\x01\xc0\x00\x01\xbb"s;
const std::string v6_pair = "\x20\x01\x0d\xb8"s + std::string(11, '\0') + "\x07"s + "\x20\x01\x0d\xb8"s +
                            std::string(11, '\0') + "\x01\xc0\x00\x01\xbb"s;

struct accepted_case {
  std::string bytes;
  std::string client;  ///< "" for the proxy's own connection
};

std::vector<accepted_case> accepted_cases() {
  const std::string mapped = std::string(10, '\0') + "\xff\xff\xcb\x00\x71\x07"s + std::string(20, '\0');
  return {
      {"PROXY TCP4 203.0.113.7 10.0.0.1 49152 443\r\n", "203.0.113.7"},
      {"PROXY TCP4 203.0.113.7 10.0.0.1 0 65535\r\n", "203.0.113.7"},
      {"PROXY TCP6 2001:db8::7 2001:db8::1 49152 443\r\n", "2001:db8::7"},
      {"PROXY TCP6 ::ffff:203.0.113.7 ::ffff:10.0.0.1 49152 443\r\n", "203.0.113.7"},
      {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
       "65535\r\n",
       "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fff1"},
      {"PROXY UNKNOWN\r\n", ""},
      {"PROXY UNKNOWN 203.0.113.7 10.0.0.1 49152 443\r\n", ""},
      {v2(0x21, 0x11, v4_pair), "203.0.113.7"},
      {v2(0x21, 0x21, v6_pair), "2001:db8::7"},
      {v2(0x21, 0x21, mapped), "203.0.113.7"},
      {v2(0x21, 0x11, v4_pair + tlv(0x04, "") + tlv(0xe0, std::string(300, 'x'))), "203.0.113.7"},
      {v2(0x21, 0x12, v4_pair), ""},
      {v2(0x21, 0x31, std::string(216, 'p')), ""},
      {v2(0x21, 0x00, ""), ""},
      {v2(0x20, 0x00, ""), ""},
      {v2(0x20, 0x11, v4_pair), ""},
      {v2(0x20, 0x11, "ab"), ""},
  };
}

TEST(proxy_header, tells_who_connected_to_the_proxy) {
  for (const accepted_case& each : accepted_cases()) {
    const proxy_header read = read_proxy_header(each.bytes + "GET / HTTP/1.1\r\n");

    ASSERT_EQ(read.what, outcome::found) << testing::PrintToString(each.bytes);
    EXPECT_EQ(read.length, each.bytes.size());
    EXPECT_EQ(read.client ? read.client->to_string() : "", each.client);
  }
}

TEST(proxy_header, is_incomplete_until_its_last_byte) {
  for (const accepted_case& each : accepted_cases()) {
    for (std::size_t length = 0; length < each.bytes.size(); ++length) {
      EXPECT_EQ(read_proxy_header(std::string_view(each.bytes).substr(0, length)).what, outcome::need_more)
          << testing::PrintToString(each.bytes) << " after " << length;
    }
  }
}

TEST(proxy_header, that_is_none_or_malformed_is_refused) {
  const std::vector<std::string> cases{
      "GET / HTTP/1.1\r\n",
      "\x16\x03\x01\x02"s,
      "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
      "PROXY TCP4 1.2.3.4 1.2.3.4  2\r\n",
      "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
      "PROXY TCP4 1.2.3.4\0 1.2.3.4 1 2\r\n"s,
      "PROXY TCP4 01.2.3.256 1.2.3.4 1 2\r\n",
      "PROXY TCP4 ::1 ::1 1 2\r\n",
      "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
      "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
      "PROXY UNKNOWNX\r\n",
      "PROXY \r\n",
      "PROXY UNKNOWN\n",
      "PROXY UNKNOWN\rX",
      "PROXY UNKNOWN a\rb\r\n",
      "PROXY UNKNOWN " + std::string(200, 'x'),
      signature + "\x11\x11\x00\x00"s,
      signature + "\x22\x11\x00\x00"s,
      signature + "\x21\x41\x00\x00"s,
      signature + "\x21\x13\x00\x00"s,
      signature + "\x21\x11\x00\x0b"s,
      signature + "\x21\x21\x00\x23"s,
      signature + "\x21\x11\xff\xff"s,
      signature + "\x21\x11"s + number(detail::proxy_header_limit - 15),
      v2(0x21, 0x11, v4_pair + "\x04"),
      v2(0x21, 0x11, v4_pair + "\x04\x00\x02x"s),
      v2(0x21, 0x11, v4_pair + tlv(0x03, "abc")),
      "\r\n\r\n\0\r\nQUIT\r"s,
  };

  for (const std::string& bytes : cases) {
    EXPECT_EQ(read_proxy_header(bytes).what, outcome::refused) << testing::PrintToString(bytes);
  }
}

TEST(proxy_header, of_107_bytes_is_the_longest_of_version_1) {
  const std::string longest = "PROXY UNKNOWN " + std::string(91, 'x') + "\r\n";
  ASSERT_EQ(longest.size(), 107u);

  EXPECT_EQ(read_proxy_header(longest).what, outcome::found);
  EXPECT_EQ(read_proxy_header("PROXY UNKNOWN " + std::string(92, 'x') + "\r\n").what, outcome::refused);
}

TEST(proxy_header, checksum_is_verified_when_there_is_one) {
  // Castagnoli's remainder of the header with the field zeroed, bit by bit as its definition says.
  const auto remainder = [](const std::string& bytes) {
    std::uint32_t crc = 0xffffffffU;
    for (const char c : bytes) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        const std::uint32_t feed = (crc ^ (static_cast<unsigned char>(c) >> bit)) & 1U;
        crc = (crc >> 1U) ^ (feed * 0x82f63b78U);
      }
    }
    return ~crc;
  };
  ASSERT_EQ(remainder("123456789"), 0xe3069283U) << "the check value of CRC-32C";
  const std::string blank = v2(0x21, 0x11, v4_pair + tlv(0x03, std::string(4, '\0')) + tlv(0x04, "pad"));
  const std::uint32_t sum = remainder(blank);
  std::string right = blank;
  right.replace(16 + 12 + 3, 4, number(sum >> 16U) + number(sum & 0xffffU));

  EXPECT_EQ(read_proxy_header(right).what, outcome::found);
  for (std::size_t at = 12; at < right.size(); ++at) {
    std::string wrong = right;
    wrong[at] = static_cast<char>(wrong[at] ^ 1);
    const proxy_header read = read_proxy_header(wrong);
    // A header that became LOCAL, longer or without its checksum (another type) is another matter.
    const bool has_other_meaning = at == 12 || at == 13 || at == 14 || at == 15 || (at >= 28 && at <= 30);
    EXPECT_TRUE(read.what == outcome::refused || has_other_meaning) << at;
  }
}

}  // namespace
}  // namespace pam::net::test
