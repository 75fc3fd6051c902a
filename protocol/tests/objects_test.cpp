#include "protocol/objects.hpp"

#include <gtest/gtest.h>

#include <simdjson.h>

namespace pam::protocol {
namespace {

using std::chrono::microseconds;

constexpr std::string_view account = "11111111-2222-4333-8444-555555555555";
const timestamp created{microseconds{1'795'344'180'000'001}};
constexpr std::string_view created_text = "2026-11-22T10:43:00.000001Z";

user small_user() {
  user value;
  value.id = *parse_uuid(account);
  value.aud = "authenticated";
  value.role = "authenticated";
  value.created_at = created;
  value.updated_at = created;
  return value;
}

identity email_identity() {
  identity value;
  value.identity_id = *parse_uuid("99999999-2222-4333-8444-555555555555");
  value.provider_id = account;
  value.user_id = *parse_uuid(account);
  value.identity_data = R"({"email":"ada@example.com"})";
  value.provider = "email";
  value.last_sign_in_at = created;
  value.created_at = created;
  value.updated_at = created;
  value.email = "ada@example.com";
  return value;
}

TEST(user, without_anything_has_empty_texts_and_lists_and_no_optional_member) {
  EXPECT_EQ(
      encode(small_user()),
      R"({"id":"11111111-2222-4333-8444-555555555555","aud":"authenticated","role":"authenticated","email":"",)"
      R"("phone":"","app_metadata":{},"user_metadata":{},"identities":[],)"
      R"("created_at":"2026-11-22T10:43:00.000001Z","updated_at":"2026-11-22T10:43:00.000001Z","is_anonymous":false})");
}

TEST(user, with_everything_keeps_the_order_of_gotrue) {
  user value = small_user();
  value.email = "ada@example.com";
  value.phone = "49301234";
  for (auto* moment :
       {&value.email_confirmed_at, &value.phone_confirmed_at, &value.invited_at, &value.confirmation_sent_at,
        &value.recovery_sent_at, &value.email_change_sent_at, &value.phone_change_sent_at,
        &value.reauthentication_sent_at, &value.last_sign_in_at, &value.banned_until, &value.deleted_at}) {
    *moment = created;
  }
  value.new_email = "new@example.com";
  value.new_phone = "49305678";
  value.app_metadata = R"({"provider":"email"})";
  value.user_metadata = R"({"name":"A\"da"})";
  value.identities = {email_identity(), email_identity()};
  value.is_anonymous = true;
  simdjson::dom::parser parser;
  const std::string text = encode(value);

  const simdjson::dom::object object = parser.parse(text).get_object().value();

  std::vector<std::string_view> keys;
  for (const auto& member : object) keys.push_back(member.key);
  const std::vector<std::string_view> expected = {"id",
                                                  "aud",
                                                  "role",
                                                  "email",
                                                  "email_confirmed_at",
                                                  "invited_at",
                                                  "phone",
                                                  "phone_confirmed_at",
                                                  "confirmation_sent_at",
                                                  "confirmed_at",
                                                  "recovery_sent_at",
                                                  "new_email",
                                                  "email_change_sent_at",
                                                  "new_phone",
                                                  "phone_change_sent_at",
                                                  "reauthentication_sent_at",
                                                  "last_sign_in_at",
                                                  "app_metadata",
                                                  "user_metadata",
                                                  "identities",
                                                  "created_at",
                                                  "updated_at",
                                                  "banned_until",
                                                  "deleted_at",
                                                  "is_anonymous"};
  EXPECT_EQ(keys, expected);
  EXPECT_EQ(object["identities"].get_array().value().size(), 2U);
  EXPECT_EQ(object["user_metadata"]["name"].get_string().value(), "A\"da");
  EXPECT_EQ(object["confirmed_at"].get_string().value(), created_text);
}

TEST(user, is_confirmed_by_email_first_and_by_phone_else) {
  simdjson::dom::parser parser;
  user value = small_user();
  value.phone_confirmed_at = created;
  EXPECT_EQ(parser.parse(encode(value))["confirmed_at"].get_string().value(), created_text);

  value.email_confirmed_at = created - std::chrono::seconds{1};
  EXPECT_EQ(parser.parse(encode(value))["confirmed_at"].get_string().value(), "2026-11-22T10:42:59.000001Z");
}

TEST(user, shows_identities_with_both_ids) {
  user value = small_user();
  value.identities = {email_identity()};
  value.identities[0].last_sign_in_at.reset();

  EXPECT_NE(
      encode(value).find(
          R"("identities":[{"identity_id":"99999999-2222-4333-8444-555555555555",)"
          R"("id":"11111111-2222-4333-8444-555555555555","user_id":"11111111-2222-4333-8444-555555555555",)"
          R"("identity_data":{"email":"ada@example.com"},"provider":"email",)"
          R"("created_at":"2026-11-22T10:43:00.000001Z","updated_at":"2026-11-22T10:43:00.000001Z",)"
          R"("email":"ada@example.com"}])"),
      std::string::npos);
}

TEST(token_response, holds_the_session_and_its_user) {
  token_response value;
  value.access_token = "aaa.bbb.ccc";
  value.expires_in = 900;
  value.expires_at = 1'795'345'080;
  value.refresh_token = "pamr1_x";
  value.user = small_user();

  EXPECT_EQ(encode(value), R"({"access_token":"aaa.bbb.ccc","token_type":"bearer","expires_in":900,)"
                           R"("expires_at":1795345080,"refresh_token":"pamr1_x","user":)" +
                               encode(small_user()) + "}");
}

TEST(token_response, advises_about_a_weak_password_with_a_message) {
  token_response value;
  value.user = small_user();
  value.weak_password_reasons = {"length", "characters"};
  simdjson::dom::parser parser;

  const std::string text = encode(value);
  const simdjson::dom::object advice = parser.parse(text)["weak_password"].get_object().value();

  EXPECT_FALSE(advice["message"].get_string().value().empty());
  EXPECT_EQ(simdjson::minify(advice["reasons"]), R"(["length","characters"])");
}

TEST(sessions, are_a_list_in_an_object) {
  EXPECT_EQ(encode(std::vector<session_info>{}), R"({"sessions":[]})");

  session_info value;
  value.id = *parse_uuid(account);
  value.current = true;
  value.created_at = value.refreshed_at = value.expires_at = value.idle_expires_at = created;
  value.aal = "aal1";
  value.amr = {{"password", 7}};
  value.user_agent = "curl/8 \"x\"";
  EXPECT_EQ(encode(std::vector{value}),
            R"({"sessions":[{"id":"11111111-2222-4333-8444-555555555555","current":true,)"
            R"("created_at":"2026-11-22T10:43:00.000001Z","refreshed_at":"2026-11-22T10:43:00.000001Z",)"
            R"("expires_at":"2026-11-22T10:43:00.000001Z","idle_expires_at":"2026-11-22T10:43:00.000001Z",)"
            R"("aal":"aal1","amr":[{"method":"password","timestamp":7}],"user_agent":"curl/8 \"x\""}]})");

  value.ip = "2001:db8::1";
  value.client_id = "app";
  simdjson::dom::parser parser;
  const std::string both = encode(std::vector{value, value});
  const simdjson::dom::array list = parser.parse(both)["sessions"].get_array().value();
  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list.at(1)["ip"].get_string().value(), "2001:db8::1");
  EXPECT_EQ(list.at(1)["client_id"].get_string().value(), "app");
}

TEST(settings, tell_what_is_on) {
  EXPECT_EQ(encode(settings{}),
            R"({"external":{"anonymous_users":false,"email":true,"phone":false},"disable_signup":false,)"
            R"("mailer_autoconfirm":true,"phone_autoconfirm":false,"sms_provider":"","saml_enabled":false,)"
            R"("passkeys_enabled":false})");
}

TEST(amr, comes_back) {
  const std::vector<authentication_method> methods = {
      {"password", 1'795'344'180}, {"totp", -1}, {"o\"tp", 0}};

  const auto back = decode_amr(encode_amr(methods));

  ASSERT_EQ(back.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(back[i].method, methods[i].method);
    EXPECT_EQ(back[i].timestamp, methods[i].timestamp);
  }
  EXPECT_EQ(encode_amr({}), "[]");
}

TEST(amr, reads_what_jsonb_prints_and_ignores_other_members) {
  const auto methods =
      decode_amr(R"([{"method": "oauth", "provider": "x", "timestamp": 5}, {"method": "otp"}])");

  ASSERT_EQ(methods.size(), 2U);
  EXPECT_EQ(methods[0].timestamp, 5);
  EXPECT_EQ(methods[1].timestamp, 0);
}

TEST(amr, that_is_malformed_is_empty) {
  for (const std::string_view text :
       {"", "{}", "null", "[", "[1]", R"(["password"])", R"([{"method":1}])", "[{}]",
        R"([{"method":"a","timestamp":"5"}])", R"([{"method":"a"},null])", "[]]", "[] x",
        R"([{"method":"a"}]])", R"([{"method":"a","method":"b"}])", "[[]]"}) {
    EXPECT_TRUE(decode_amr(text).empty()) << text;
  }
}

TEST(sign_up_metadata, adds_what_is_proven_and_lets_it_win) {
  const auto id = *parse_uuid(account);
  EXPECT_EQ(
      initial_user_metadata(R"({"name":"Ada","email":"evil@example.com","sub":"x","n":{"sub":1}})",
                            "ada@example.com", id, true),
      R"({"name":"Ada","n":{"sub":1},"email":"ada@example.com","email_verified":true,"phone_verified":false,)"
      R"("sub":"11111111-2222-4333-8444-555555555555"})");
  EXPECT_EQ(initial_identity_data("ada@example.com", id, false),
            R"({"email":"ada@example.com","email_verified":false,"phone_verified":false,)"
            R"("sub":"11111111-2222-4333-8444-555555555555"})");
}

TEST(sign_up_metadata, leaves_an_absent_email_out_and_survives_bad_data) {
  const auto id = *parse_uuid(account);
  const std::string_view proven =
      R"({"email_verified":false,"phone_verified":false,"sub":"11111111-2222-4333-8444-555555555555"})";
  for (const std::string_view data : {"{}", "", "[]", "{", R"({"a":1,"a":2})", "null"}) {
    EXPECT_EQ(initial_user_metadata(data, "", id, false), proven) << data;
  }
}

}  // namespace
TEST(stored_size, counts_the_blanks_that_jsonb_adds_outside_strings) {
  EXPECT_EQ(pam::protocol::stored_size(R"({})"), 2U);
  EXPECT_EQ(pam::protocol::stored_size(R"({"a":1,"b":[1,2]})"),
            std::string_view{R"({"a": 1, "b": [1, 2]})"}.size());
  EXPECT_EQ(pam::protocol::stored_size(R"({"a:,":"x,y:\",z"})"),
            std::string_view{R"({"a:,": "x,y:\",z"})"}.size());
}

}  // namespace pam::protocol
