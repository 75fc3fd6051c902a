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
inline constexpr error_code refresh_token_not_found{"refresh_token_not_found", 400, "Invalid refresh token"};
inline constexpr error_code refresh_token_already_used{"refresh_token_already_used", 400,
                                                       "The refresh token was already used"};
inline constexpr error_code session_expired{"session_expired", 400, "The session has expired"};
inline constexpr error_code session_not_found{"session_not_found", 403, "The session does not exist"};
inline constexpr error_code user_banned{"user_banned", 403, "The user is banned"};
inline constexpr error_code user_not_found{"user_not_found", 403, "The user does not exist"};
inline constexpr error_code current_password_required{"current_password_required", 400,
                                                      "The current password is required"};
inline constexpr error_code current_password_invalid{"current_password_invalid", 400,
                                                     "The current password is wrong"};
inline constexpr error_code bad_request{"bad_request", 400, "The HTTP request is malformed"};
inline constexpr error_code no_authorization{"no_authorization", 401, "A bearer token is required"};
inline constexpr error_code bad_jwt{"bad_jwt", 403, "The access token is not valid"};
inline constexpr error_code not_found{"not_found", 404, "There is nothing here"};
inline constexpr error_code feature_disabled{"feature_disabled", 404, "This feature is off"};
inline constexpr error_code method_not_allowed{"method_not_allowed", 405, "The method is not allowed here"};
inline constexpr error_code unsupported_media_type{"unsupported_media_type", 415,
                                                   "The content type is not supported"};
inline constexpr error_code request_entity_too_large{"request_entity_too_large", 413,
                                                     "The request body is too large"};
inline constexpr error_code user_already_exists{"user_already_exists", 422, "The user already exists"};
inline constexpr error_code weak_password{"weak_password", 422, "The password is too weak"};
inline constexpr error_code same_password{"same_password", 422, "The new password equals the old one"};
inline constexpr error_code signup_disabled{"signup_disabled", 422, "Sign-up is off"};
inline constexpr error_code email_provider_disabled{"email_provider_disabled", 422,
                                                    "Sign-in by email is off"};
inline constexpr error_code phone_provider_disabled{"phone_provider_disabled", 422,
                                                    "Sign-in by phone is off"};
inline constexpr error_code anonymous_provider_disabled{"anonymous_provider_disabled", 422,
                                                        "Anonymous sign-in is off"};
inline constexpr error_code over_request_rate_limit{"over_request_rate_limit", 429, "Too many requests"};
inline constexpr error_code unexpected_failure{"unexpected_failure", 500, "Something went wrong on our side"};
inline constexpr error_code over_capacity{"over_capacity", 503, "The server is at a limit"};
inline constexpr error_code request_timeout{"request_timeout", 504, "The request took too long"};
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
  std::string_view reason;  ///< which limit, for over_capacity
  std::vector<field_error> errors;
  std::vector<std::string_view> weak_password_reasons;  ///< length | characters | pwned

  [[nodiscard]] unsigned http_status() const { return status != 0 ? status : code->status; }
};

inline constexpr std::string_view problem_content_type = "application/problem+json";

/// @param string_codes  the client sent X-Supabase-Api-Version 2024-01-01 or newer: member `code` is
///                      the code string; otherwise it is the numeric HTTP status
/// @param type_base     base of the `type` URI, e.g. "https://auth.example"; no slash at its end
[[nodiscard]] std::string encode(const problem& value, bool string_codes, std::string_view type_base);

}  // namespace pam::protocol
