#include "protocol/claims.hpp"

#include <gtest/gtest.h>

#include <simdjson.h>

namespace pam::protocol {
namespace {

constexpr std::string_view account = "11111111-2222-4333-8444-555555555555";
constexpr std::string_view session = "01939393-2222-7333-8444-666666666666";

access_claims example() {
  access_claims claims;
  claims.iss = "https://auth.example/auth/v1";
  claims.sub = *parse_uuid(account);
  claims.exp = 1'795'345'080;
  claims.iat = 1'795'344'180;
  claims.email = "ada@example.com";
  claims.app_metadata = R"({"provider":"email","providers":["email"]})";
  claims.user_metadata = R"({"name":"Ada"})";
  claims.role = "authenticated";
  claims.amr = {{"password", 1'795'344'180}};
  claims.session_id = *parse_uuid(session);
  return claims;
}

std::string payload_with(std::string_view members) {
  return "{" + std::string{members} + "}";
}

TEST(access_claims, are_written_as_clients_read_them) {
  EXPECT_EQ(encode(example()),
            R"({"iss":"https://auth.example/auth/v1","sub":"11111111-2222-4333-8444-555555555555",)"
            R"("aud":"authenticated","exp":1795345080,"iat":1795344180,"email":"ada@example.com","phone":"",)"
            R"("app_metadata":{"provider":"email","providers":["email"]},"user_metadata":{"name":"Ada"},)"
            R"("role":"authenticated","aal":"aal1","amr":[{"method":"password","timestamp":1795344180}],)"
            R"("session_id":"01939393-2222-7333-8444-666666666666","is_anonymous":false})");
}

TEST(access_claims, come_back_as_the_subject_of_a_bearer_check) {
  auto claims = example();
  claims.aal = "aal2";

  const auto subject = decode_token_subject(encode(claims));

  ASSERT_TRUE(subject.has_value());
  EXPECT_EQ(subject->account, claims.sub);
  EXPECT_EQ(subject->session, claims.session_id);
  EXPECT_EQ(subject->iat, claims.iat);
  EXPECT_EQ(subject->exp, claims.exp);
  EXPECT_EQ(subject->aal, "aal2");
}

TEST(token_subject, has_aal1_when_the_token_does_not_say) {
  const auto subject = decode_token_subject(payload_with(
      R"("sub":")" + std::string{account} + R"(","session_id":")" + std::string{session} + R"(","iat":5)"));

  ASSERT_TRUE(subject.has_value());
  EXPECT_EQ(subject->aal, "aal1");
}

TEST(token_subject, refuses_missing_and_mistaken_claims) {
  const std::string sub = R"("sub":")" + std::string{account} + '"';
  const std::string session_id = R"("session_id":")" + std::string{session} + '"';
  for (const std::string& members : {
           std::string{},
           sub + "," + session_id,
           sub + R"(,"iat":1)",
           session_id + R"(,"iat":1)",
           sub + R"(,"session_id":null,"iat":1)",
           sub + R"(,"session_id":"","iat":1)",
           sub + R"(,"session_id":"x","iat":1)",
           R"("sub":"service",)" + session_id + R"(,"iat":1)",
           R"("sub":5,)" + session_id + R"(,"iat":1)",
           sub + "," + session_id + R"(,"iat":"1")",
           sub + "," + session_id + R"(,"iat":1.5)",
           sub + "," + session_id + R"(,"iat":1e3)",
           sub + "," + session_id + R"(,"iat":99999999999999999999)",
           sub + "," + session_id + R"(,"iat":1,"aal":2)",
           sub + "," + session_id + R"(,"iat":null)",
       }) {
    const auto subject = decode_token_subject(payload_with(members));
    ASSERT_FALSE(subject.has_value()) << members;
    EXPECT_EQ(subject.error().code, &codes::bad_jwt) << members;
    EXPECT_FALSE(subject.error().detail.empty()) << members;
  }
  EXPECT_FALSE(decode_token_subject("").has_value());
  EXPECT_FALSE(decode_token_subject("[]").has_value());
}

TEST(machine_claims, come_back) {
  const machine_claims claims{"https://auth.example", "ops",         "admin",
                              "service_role",         1'800'000'000, 1'790'000'000};

  const std::string payload = encode(claims);
  const auto back = decode_machine_claims(payload);

  EXPECT_EQ(payload, R"({"iss":"https://auth.example","sub":"ops","aud":"admin","role":"service_role",)"
                     R"("exp":1800000000,"iat":1790000000})");
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(encode(*back), payload);
}

TEST(machine_claims, of_older_installations_need_a_role_only) {
  const auto claims =
      decode_machine_claims(R"({"iss":"supabase","role":"service_role","iat":1,"ref":"abc"})");

  ASSERT_TRUE(claims.has_value());
  EXPECT_EQ(claims->role, "service_role");
  EXPECT_EQ(claims->exp, 0);
  for (const std::string_view payload :
       {"{}", R"({"role":""})", R"({"role":null})", R"({"role":["a"]})", "", "x"}) {
    const auto refused = decode_machine_claims(payload);
    ASSERT_FALSE(refused.has_value()) << payload;
    EXPECT_EQ(refused.error().code, &codes::bad_jwt) << payload;
  }
}

}  // namespace
}  // namespace pam::protocol
