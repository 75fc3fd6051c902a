#include "server/net/detail/chunk_decoder.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pam::net::detail {
namespace {

struct outcome {
  unsigned status = 0;
  bool is_done = false;
  std::string body;
  std::size_t consumed = 0;
};

outcome decode(std::string text, std::size_t limit = 100) {
  chunk_decoder decoder(limit);
  const auto step = decoder.decode(text.data(), text);
  return {decoder.why().status, decoder.is_done(), text.substr(0, step.produced), step.consumed};
}

TEST(chunk_decoder, chunks_are_joined_and_what_follows_is_left) {
  const outcome got = decode("5\r\nhello\r\n00006\r\n world\r\n0\r\n\r\nGET /");

  EXPECT_TRUE(got.is_done);
  EXPECT_EQ(got.body, "hello world");
  EXPECT_EQ(got.consumed, std::string("5\r\nhello\r\n00006\r\n world\r\n0\r\n\r\n").size());
}

TEST(chunk_decoder, sizes_are_hexadecimal_of_either_case) {
  EXPECT_EQ(decode("a\r\n0123456789\r\n0\r\n\r\n").body, "0123456789");
  EXPECT_EQ(decode("A\r\n0123456789\r\n0\r\n\r\n").body, "0123456789");
}

TEST(chunk_decoder, extensions_and_trailers_are_ignored) {
  EXPECT_TRUE(decode("1;a;b=\"c\"\r\nx\r\n0;z\r\nTrailer: y\r\nMore: z\r\n\r\n").is_done);
}

TEST(chunk_decoder, malformed_framing_is_refused) {
  for (const std::string text :
       {"\r\n", "g\r\n", "-1\r\n", "+1\r\n", " 1\r\n", "1 \r\nx\r\n", "0x1\r\nx", "1\nx\r\n", "1\rx",
        "1\r\nxy", "1\r\nx\n", "1\r\nx\rz", "000000001\r\nx", "1;a\nb\r\nx", "0\r\nT: a\nb\r\n\r\n",
        "0\r\n\rx", "0\r\n\n", "fffffffff\r\n"}) {
    EXPECT_EQ(decode(text).status, 400u) << text;
  }
}

TEST(chunk_decoder, a_body_over_the_limit_is_413_before_it_is_read) {
  EXPECT_EQ(decode("64\r\n", 100).status, 0u);
  EXPECT_EQ(decode("65\r\n", 100).status, 413u);
  EXPECT_EQ(decode("ffffffff\r\n", 100).status, 413u);
  EXPECT_EQ(decode("2\r\nab\r\n2\r\n", 3).status, 413u);
}

TEST(chunk_decoder, endless_extensions_and_trailers_are_refused) {
  EXPECT_EQ(decode("1;" + std::string(5000, 'a')).status, 400u);
  EXPECT_EQ(decode("0\r\nT: " + std::string(5000, 'a')).status, 400u);
}

}  // namespace
}  // namespace pam::net::detail
