#include "protocol/oauth.hpp"

#include <gtest/gtest.h>

#include "protocol/objects.hpp"

namespace pam::protocol {
namespace {

TEST(introspection, is_written_without_what_is_absent) {
  introspection value;
  value.token_type = "Bearer";
  value.iss = "https://auth.example/auth/v1";
  value.aud = "authenticated";
  value.sub = *parse_uuid("11111111-2222-4333-8444-555555555555");
  value.session_id = *parse_uuid("01939393-2222-7333-8444-666666666666");
  value.exp = 1'795'345'080;

  EXPECT_EQ(encode(value),
            R"({"active":true,"token_type":"Bearer","iss":"https://auth.example/auth/v1",)"
            R"("sub":"11111111-2222-4333-8444-555555555555","aud":"authenticated","exp":1795345080,)"
            R"("session_id":"01939393-2222-7333-8444-666666666666"})");
}

TEST(oauth_error, has_two_members) {
  EXPECT_EQ(encode_oauth_error("invalid_request", "a \"quoted\" word"),
            R"({"error":"invalid_request","error_description":"a \"quoted\" word"})");
}

// RFC 6749 section 2.3.1 gives this very header for its example client.
TEST(client_credentials, of_the_rfc_are_read) {
  const auto found = decode_client_credentials("Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3");

  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, "s6BhdRkqt3");
  EXPECT_EQ(found->secret.view(), "7Fjfp0ZBr1KtDRbnfVdmIw");
}

TEST(client_credentials, are_form_encoded_inside) {
  // "a%3Ab:p%25+w" in base64
  const auto found = decode_client_credentials("basic  YSUzQWI6cCUyNSt3");

  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->id, "a:b");
  EXPECT_EQ(found->secret.view(), "p% w");
}

TEST(client_credentials, of_any_other_form_are_none) {
  for (const char* text :
       {"", "Basic", "Basic ", "Bearer czZCaGRSa3F0Mzo3", "Basic czZC aGRS", "Basic czZCaGRSa3F0Mw",
        "Basic czZCaGRSa3F0Mw==", "Basic YTpi=", "Basic YTpj====", "Basic YTpiYR==", "Basic YSU6Yg=="}) {
    EXPECT_FALSE(decode_client_credentials(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace pam::protocol
