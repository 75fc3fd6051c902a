#include "protocol/problem.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include <simdjson.h>

#include "protocol/decode_error.hpp"

namespace pam::protocol {
namespace {

TEST(problem, carries_the_members_of_rfc_9457_and_of_gotrue) {
  problem value;
  value.code = &codes::invalid_credentials;
  value.request_id = "0123456789";

  EXPECT_EQ(
      encode(value, true, "https://auth.example"),
      R"({"type":"https://auth.example/errors/invalid_credentials","title":"Invalid login credentials",)"
      R"("status":400,"detail":"Invalid login credentials","code":"invalid_credentials",)"
      R"("error_code":"invalid_credentials","msg":"Invalid login credentials",)"
      R"("message":"Invalid login credentials","request_id":"0123456789"})");
}

TEST(problem, has_a_numeric_code_for_clients_of_the_first_version) {
  problem value;
  value.code = &codes::session_not_found;
  value.status = 400;
  value.detail = "The session \"x\" is gone.";

  EXPECT_EQ(encode(value, false, ""),
            R"({"type":"/errors/session_not_found","title":"The session does not exist","status":400,)"
            R"("detail":"The session \"x\" is gone.","code":400,"error_code":"session_not_found",)"
            R"("msg":"The session \"x\" is gone.","message":"The session \"x\" is gone.","request_id":""})");
}

TEST(problem, lists_what_was_wrong_with_the_body) {
  problem value;
  value.code = &codes::validation_failed;
  value.errors = {{"/email", "must be a string"}, {"/data/a~1b", "must be a JSON object"}};

  const std::string text = encode(value, true, "");

  EXPECT_NE(text.find(R"("errors":[{"pointer":"/email","reason":"must be a string"},)"
                      R"({"pointer":"/data/a~1b","reason":"must be a JSON object"}])"),
            std::string::npos);
}

TEST(problem, says_that_what_was_asked_may_have_been_done_and_nothing_when_it_was_not) {
  problem value;
  value.code = &codes::over_capacity;
  const std::string certain = encode(value, true, "");
  value.may_have_happened = true;

  EXPECT_NE(encode(value, true, "").find(R"("may_have_happened":true)"), std::string::npos);
  EXPECT_EQ(certain.find("may_have_happened"), std::string::npos);
}

TEST(problem, names_the_limit_that_was_reached) {
  problem value;
  value.code = &codes::over_capacity;
  value.reason = "hash_queue";

  EXPECT_NE(encode(value, true, "").find(R"("reason":"hash_queue")"), std::string::npos);
  EXPECT_EQ(value.http_status(), 503U);
}

TEST(problem, a_weak_password_always_has_its_member) {
  problem value;
  value.code = &codes::weak_password;
  EXPECT_NE(
      encode(value, true, "").find(R"("weak_password":{"message":"The password is too weak","reasons":[]})"),
      std::string::npos);

  value.detail = "At least 8 characters.";
  value.weak_password_reasons = {"length", "pwned"};
  EXPECT_NE(encode(value, true, "")
                .find(R"("weak_password":{"message":"At least 8 characters.","reasons":["length","pwned"]})"),
            std::string::npos);
}

TEST(problem, every_code_makes_valid_json_of_both_versions) {
  simdjson::dom::parser parser;
  for (const error_code* code : codes::all) {
    problem value;
    value.code = code;
    for (const bool string_codes : {true, false}) {
      const std::string text = encode(value, string_codes, "https://auth.example");
      const simdjson::dom::object object = parser.parse(text).get_object().value();
      EXPECT_EQ(object["error_code"].get_string().value(), code->code);
      EXPECT_EQ(object["status"].get_uint64().value(), code->status);
      EXPECT_EQ(object["code"].is_string(), string_codes);
    }
  }
}

TEST(problem, every_code_of_the_contract_is_there_with_its_status) {
  const std::map<unsigned, std::vector<std::string_view>> contract = {
      {400,
       {"bad_json", "validation_failed", "invalid_credentials", "email_not_confirmed", "phone_not_confirmed",
        "email_address_invalid", "refresh_token_not_found", "refresh_token_already_used", "session_expired",
        "reauthentication_needed", "current_password_required", "current_password_invalid",
        "bad_code_verifier", "captcha_failed", "bad_request"}},
      {401, {"no_authorization", "insufficient_aal"}},
      {403,
       {"bad_jwt", "user_not_found", "session_not_found", "user_banned", "not_admin", "otp_expired",
        "unexpected_audience"}},
      {404,
       {"not_found", "feature_disabled", "mfa_factor_not_found", "flow_state_not_found", "passkey_disabled",
        "manual_linking_disabled"}},
      {405, {"method_not_allowed"}},
      {413, {"request_entity_too_large"}},
      {415, {"unsupported_media_type"}},
      {422,
       {"user_already_exists",
        "email_exists",
        "phone_exists",
        "weak_password",
        "same_password",
        "signup_disabled",
        "anonymous_provider_disabled",
        "email_provider_disabled",
        "phone_provider_disabled",
        "provider_disabled",
        "otp_disabled",
        "reauthentication_not_valid",
        "flow_state_expired",
        "mfa_verification_failed",
        "mfa_verification_rejected",
        "mfa_challenge_expired",
        "mfa_factor_name_conflict",
        "mfa_ip_address_mismatch",
        "mfa_totp_enroll_not_enabled",
        "mfa_totp_verify_not_enabled",
        "mfa_phone_enroll_not_enabled",
        "mfa_phone_verify_not_enabled",
        "mfa_webauthn_enroll_not_enabled",
        "mfa_webauthn_verify_not_enabled",
        "mfa_verified_factor_exists",
        "too_many_enrolled_mfa_factors",
        "webauthn_challenge_not_found",
        "webauthn_challenge_expired",
        "webauthn_verification_failed",
        "webauthn_credential_not_found",
        "webauthn_credential_exists",
        "identity_not_found",
        "identity_already_exists",
        "single_identity_not_deletable",
        "email_conflict_identity_not_deletable"}},
      {429, {"over_request_rate_limit", "over_email_send_rate_limit", "over_sms_send_rate_limit"}},
      // HTTP itself, beside the contract's table.
      {414, {"uri_too_long"}},
      {417, {"expectation_failed"}},
      {431, {"header_too_large"}},
      {501, {"not_implemented"}},
      {505, {"http_version_not_supported"}},
      {500, {"unexpected_failure"}},
      {503, {"over_capacity"}},
      {504, {"request_timeout"}},
  };
  std::map<unsigned, std::set<std::string_view>> expected;
  std::size_t rows = 0;
  for (const auto& [status, names] : contract) {
    expected[status].insert(names.begin(), names.end());
    rows += names.size();
  }

  std::map<unsigned, std::set<std::string_view>> actual;
  for (const error_code* code : codes::all) actual[code->status].insert(code->code);

  EXPECT_EQ(actual, expected);
  EXPECT_EQ(std::size(codes::all), rows);  // none twice
}

TEST(decode_error, becomes_a_problem_with_its_place) {
  const decode_error failure{&codes::validation_failed, "The member /email must be a string.", "/email"};

  const problem value = to_problem(failure);

  EXPECT_EQ(value.code, &codes::validation_failed);
  EXPECT_EQ(value.detail, "The member /email must be a string.");
  ASSERT_EQ(value.errors.size(), 1U);
  EXPECT_EQ(value.errors.front().pointer, "/email");
  EXPECT_TRUE(to_problem(decode_error{&codes::bad_json, "no", {}}).errors.empty());
}

TEST(decode_error, taking_the_value_of_a_failed_decode_throws) {
  const decoded<int> failed = decode_error{&codes::bad_json, "no", {}};

  EXPECT_THROW(static_cast<void>(failed.value()), std::logic_error);
}

}  // namespace
}  // namespace pam::protocol
