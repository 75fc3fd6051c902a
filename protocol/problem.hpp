#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pam::protocol {

/// A stable error code and what belongs to it wherever it is answered. api.md "Errors" is the table.
/// A code that has several statuses there is answered with an explicit status.
struct error_code {
  std::string_view code;   ///< snake_case, e.g. "invalid_credentials"
  unsigned status;         ///< the usual HTTP status
  std::string_view title;  ///< short, the same for every occurrence (RFC 9457 section 3.1.3)
};

namespace codes {
inline constexpr error_code bad_json{"bad_json", 400, "The body is not acceptable JSON"};
inline constexpr error_code validation_failed{"validation_failed", 400, "The request is not valid"};
inline constexpr error_code invalid_credentials{"invalid_credentials", 400, "Invalid login credentials"};
inline constexpr error_code email_address_invalid{"email_address_invalid", 400,
                                                  "The email address is not valid"};
inline constexpr error_code email_not_confirmed{"email_not_confirmed", 400,
                                                "The email address is not confirmed"};
inline constexpr error_code phone_not_confirmed{"phone_not_confirmed", 400,
                                                "The phone number is not confirmed"};
inline constexpr error_code refresh_token_not_found{"refresh_token_not_found", 400, "Invalid refresh token"};
inline constexpr error_code refresh_token_already_used{"refresh_token_already_used", 400,
                                                       "The refresh token was already used"};
inline constexpr error_code session_expired{"session_expired", 400, "The session has expired"};
inline constexpr error_code reauthentication_needed{"reauthentication_needed", 400,
                                                    "A recent reauthentication is required"};
inline constexpr error_code current_password_required{"current_password_required", 400,
                                                      "The current password is required"};
inline constexpr error_code current_password_invalid{"current_password_invalid", 400,
                                                     "The current password is wrong"};
inline constexpr error_code bad_code_verifier{"bad_code_verifier", 400, "The code verifier does not match"};
inline constexpr error_code captcha_failed{"captcha_failed", 400, "The CAPTCHA was not solved"};
inline constexpr error_code bad_request{"bad_request", 400, "The HTTP request is malformed"};
inline constexpr error_code no_authorization{"no_authorization", 401, "A bearer token is required"};
inline constexpr error_code insufficient_aal{"insufficient_aal", 401, "A higher assurance level is required"};
inline constexpr error_code bad_jwt{"bad_jwt", 403, "The access token is not valid"};
inline constexpr error_code user_not_found{"user_not_found", 403, "The user does not exist"};
inline constexpr error_code session_not_found{"session_not_found", 403, "The session does not exist"};
inline constexpr error_code user_banned{"user_banned", 403, "The user is banned"};
inline constexpr error_code not_admin{"not_admin", 403, "This needs an administrator's token"};
inline constexpr error_code otp_expired{"otp_expired", 403, "The link or code is invalid or has expired"};
inline constexpr error_code unexpected_audience{"unexpected_audience", 403,
                                                "The token is meant for another audience"};
inline constexpr error_code not_found{"not_found", 404, "There is nothing here"};
inline constexpr error_code feature_disabled{"feature_disabled", 404, "This feature is off"};
inline constexpr error_code mfa_factor_not_found{"mfa_factor_not_found", 404, "The factor does not exist"};
inline constexpr error_code flow_state_not_found{"flow_state_not_found", 404,
                                                 "The sign-in flow does not exist"};
inline constexpr error_code passkey_disabled{"passkey_disabled", 404, "Passkeys are off"};
inline constexpr error_code manual_linking_disabled{"manual_linking_disabled", 404, "Manual linking is off"};
inline constexpr error_code method_not_allowed{"method_not_allowed", 405, "The method is not allowed here"};
inline constexpr error_code request_entity_too_large{"request_entity_too_large", 413,
                                                     "The request body is too large"};
inline constexpr error_code unsupported_media_type{"unsupported_media_type", 415,
                                                   "The content type is not supported"};
inline constexpr error_code user_already_exists{"user_already_exists", 422, "The user already exists"};
inline constexpr error_code email_exists{"email_exists", 422, "The email address is taken"};
inline constexpr error_code phone_exists{"phone_exists", 422, "The phone number is taken"};
inline constexpr error_code weak_password{"weak_password", 422, "The password is too weak"};
inline constexpr error_code same_password{"same_password", 422, "The new password equals the old one"};
inline constexpr error_code signup_disabled{"signup_disabled", 422, "Sign-up is off"};
inline constexpr error_code anonymous_provider_disabled{"anonymous_provider_disabled", 422,
                                                        "Anonymous sign-in is off"};
inline constexpr error_code email_provider_disabled{"email_provider_disabled", 422,
                                                    "Sign-in by email is off"};
inline constexpr error_code phone_provider_disabled{"phone_provider_disabled", 422,
                                                    "Sign-in by phone is off"};
inline constexpr error_code provider_disabled{"provider_disabled", 422, "Sign-in by this provider is off"};
inline constexpr error_code otp_disabled{"otp_disabled", 422, "Sign-in by one-time code is off"};
inline constexpr error_code reauthentication_not_valid{"reauthentication_not_valid", 422,
                                                       "The reauthentication code is wrong"};
inline constexpr error_code flow_state_expired{"flow_state_expired", 422, "The sign-in flow has expired"};
inline constexpr error_code mfa_verification_failed{"mfa_verification_failed", 422,
                                                    "The factor's code is wrong"};
inline constexpr error_code mfa_verification_rejected{"mfa_verification_rejected", 422,
                                                      "The factor's verification was rejected"};
inline constexpr error_code mfa_challenge_expired{"mfa_challenge_expired", 422,
                                                  "The factor's challenge has expired"};
inline constexpr error_code mfa_factor_name_conflict{"mfa_factor_name_conflict", 422,
                                                     "A factor of this name exists"};
inline constexpr error_code mfa_ip_address_mismatch{"mfa_ip_address_mismatch", 422,
                                                    "The challenge came from another address"};
inline constexpr error_code mfa_totp_enroll_not_enabled{"mfa_totp_enroll_not_enabled", 422,
                                                        "Enrolling TOTP factors is off"};
inline constexpr error_code mfa_totp_verify_not_enabled{"mfa_totp_verify_not_enabled", 422,
                                                        "Verifying TOTP factors is off"};
inline constexpr error_code mfa_phone_enroll_not_enabled{"mfa_phone_enroll_not_enabled", 422,
                                                         "Enrolling phone factors is off"};
inline constexpr error_code mfa_phone_verify_not_enabled{"mfa_phone_verify_not_enabled", 422,
                                                         "Verifying phone factors is off"};
inline constexpr error_code mfa_webauthn_enroll_not_enabled{"mfa_webauthn_enroll_not_enabled", 422,
                                                            "Enrolling WebAuthn factors is off"};
inline constexpr error_code mfa_webauthn_verify_not_enabled{"mfa_webauthn_verify_not_enabled", 422,
                                                            "Verifying WebAuthn factors is off"};
inline constexpr error_code mfa_verified_factor_exists{"mfa_verified_factor_exists", 422,
                                                       "A verified factor of this kind exists"};
inline constexpr error_code too_many_enrolled_mfa_factors{"too_many_enrolled_mfa_factors", 422,
                                                          "Too many factors are enrolled"};
inline constexpr error_code webauthn_challenge_not_found{"webauthn_challenge_not_found", 422,
                                                         "The WebAuthn challenge does not exist"};
inline constexpr error_code webauthn_challenge_expired{"webauthn_challenge_expired", 422,
                                                       "The WebAuthn challenge has expired"};
inline constexpr error_code webauthn_verification_failed{"webauthn_verification_failed", 422,
                                                         "The WebAuthn response is not valid"};
inline constexpr error_code webauthn_credential_not_found{"webauthn_credential_not_found", 422,
                                                          "The WebAuthn credential is unknown"};
inline constexpr error_code webauthn_credential_exists{"webauthn_credential_exists", 422,
                                                       "The WebAuthn credential is already registered"};
inline constexpr error_code identity_not_found{"identity_not_found", 422, "The identity does not exist"};
inline constexpr error_code identity_already_exists{"identity_already_exists", 422,
                                                    "The identity is already linked"};
inline constexpr error_code single_identity_not_deletable{"single_identity_not_deletable", 422,
                                                          "The last identity cannot be removed"};
inline constexpr error_code email_conflict_identity_not_deletable{
    "email_conflict_identity_not_deletable", 422, "The identity's email belongs to another user"};
// HTTP itself (RFC 9110): refusals of the network layer.
inline constexpr error_code uri_too_long{"uri_too_long", 414, "The request target is too long"};
inline constexpr error_code expectation_failed{"expectation_failed", 417, "The expectation cannot be met"};
inline constexpr error_code header_too_large{"header_too_large", 431, "The request header is too large"};
inline constexpr error_code not_implemented{"not_implemented", 501, "The transfer coding is not supported"};
inline constexpr error_code http_version_not_supported{"http_version_not_supported", 505,
                                                       "The HTTP version is not supported"};
inline constexpr error_code over_request_rate_limit{"over_request_rate_limit", 429, "Too many requests"};
inline constexpr error_code over_email_send_rate_limit{"over_email_send_rate_limit", 429, "Too many emails"};
inline constexpr error_code over_sms_send_rate_limit{"over_sms_send_rate_limit", 429,
                                                     "Too many text messages"};
inline constexpr error_code unexpected_failure{"unexpected_failure", 500, "Something went wrong on our side"};
inline constexpr error_code over_capacity{"over_capacity", 503, "The server is at a limit"};
inline constexpr error_code request_timeout{"request_timeout", 504, "The request took too long"};

/// Every code there is, for the error pages, the API description and the tests.
inline constexpr const error_code* all[] = {
    &bad_json,
    &validation_failed,
    &invalid_credentials,
    &email_address_invalid,
    &email_not_confirmed,
    &phone_not_confirmed,
    &refresh_token_not_found,
    &refresh_token_already_used,
    &session_expired,
    &reauthentication_needed,
    &current_password_required,
    &current_password_invalid,
    &bad_code_verifier,
    &captcha_failed,
    &bad_request,
    &no_authorization,
    &insufficient_aal,
    &bad_jwt,
    &user_not_found,
    &session_not_found,
    &user_banned,
    &not_admin,
    &otp_expired,
    &unexpected_audience,
    &not_found,
    &feature_disabled,
    &mfa_factor_not_found,
    &flow_state_not_found,
    &passkey_disabled,
    &manual_linking_disabled,
    &method_not_allowed,
    &request_entity_too_large,
    &unsupported_media_type,
    &uri_too_long,
    &expectation_failed,
    &header_too_large,
    &not_implemented,
    &http_version_not_supported,
    &user_already_exists,
    &email_exists,
    &phone_exists,
    &weak_password,
    &same_password,
    &signup_disabled,
    &anonymous_provider_disabled,
    &email_provider_disabled,
    &phone_provider_disabled,
    &provider_disabled,
    &otp_disabled,
    &reauthentication_not_valid,
    &flow_state_expired,
    &mfa_verification_failed,
    &mfa_verification_rejected,
    &mfa_challenge_expired,
    &mfa_factor_name_conflict,
    &mfa_ip_address_mismatch,
    &mfa_totp_enroll_not_enabled,
    &mfa_totp_verify_not_enabled,
    &mfa_phone_enroll_not_enabled,
    &mfa_phone_verify_not_enabled,
    &mfa_webauthn_enroll_not_enabled,
    &mfa_webauthn_verify_not_enabled,
    &mfa_verified_factor_exists,
    &too_many_enrolled_mfa_factors,
    &webauthn_challenge_not_found,
    &webauthn_challenge_expired,
    &webauthn_verification_failed,
    &webauthn_credential_not_found,
    &webauthn_credential_exists,
    &identity_not_found,
    &identity_already_exists,
    &single_identity_not_deletable,
    &email_conflict_identity_not_deletable,
    &over_request_rate_limit,
    &over_email_send_rate_limit,
    &over_sms_send_rate_limit,
    &unexpected_failure,
    &over_capacity,
    &request_timeout,
};
}  // namespace codes

/// Where in the body a value was wrong (RFC 6901 pointer) and why.
struct field_error {
  std::string pointer;
  std::string reason;
};

/// One error answer: RFC 9457 with the members GoTrue's clients read.
struct problem {
  const error_code* code = &codes::unexpected_failure;
  unsigned status = 0;  ///< 0: the code's own
  std::string detail;   ///< one sentence that names what is wrong and what would be right
  std::string_view request_id;
  std::string_view reason;         ///< which limit, for over_capacity
  bool may_have_happened = false;  ///< over_capacity: what was asked may have been done; else certainly not
  std::vector<field_error> errors;
  std::vector<std::string_view> weak_password_reasons;  ///< length | characters | pwned

  [[nodiscard]] unsigned http_status() const { return status != 0 ? status : code->status; }
};

inline constexpr std::string_view problem_content_type = "application/problem+json";

/// @param string_codes  the client sent X-Supabase-Api-Version 2024-01-01 or newer: member `code` is
///                      the code string; otherwise it is the numeric HTTP status
/// @param type_base     base of the `type` URI, e.g. "https://auth.example"; no slash at its end
/// `msg` and `message` repeat `detail` (the title when there is none): GoTrue's clients read one of
/// them. Nothing secret may stand in `detail` or `errors`; every text is valid UTF-8.
[[nodiscard]] std::string encode(const problem& value, bool string_codes, std::string_view type_base);

}  // namespace pam::protocol
