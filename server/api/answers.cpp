#include "server/api/answers.hpp"

#include <algorithm>
#include <utility>

#include "server/api/oauth.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

constexpr std::string_view string_code_version = "2024-01-01";

protocol::problem make(const protocol::error_code& code, std::string detail) {
  protocol::problem what;
  what.code = &code;
  what.detail = std::move(detail);
  return what;
}

protocol::problem with_status(protocol::problem what, unsigned status) {
  what.status = status;
  return what;
}

protocol::problem from_state_error(const auth::error& failure, origin from) {
  const unsigned ended = from == origin::token ? 400U : 403U;
  switch (failure.code) {
    case auth::errc::session_not_found:
      return with_status(
          make(codes::session_not_found, "The session has ended or never existed; sign in again."), ended);
    case auth::errc::session_expired:
      return make(codes::session_expired, "The session has reached its end; sign in again.");
    case auth::errc::account_banned:
      return with_status(make(codes::user_banned, "The user is banned."), ended);
    case auth::errc::account_not_found:
      return from == origin::token
                 ? with_status(make(codes::session_not_found,
                                    "The session has ended or never existed; sign in again."),
                               400)
                 : make(codes::user_not_found, "The user of this token does not exist any more.");
    case auth::errc::refresh_token_not_found:
      return make(codes::refresh_token_not_found, "Invalid Refresh Token: Refresh Token Not Found");
    default:
      return make(codes::refresh_token_already_used, "Invalid Refresh Token: Already Used");
  }
}

protocol::problem from_input_error(const auth::error& failure) {
  switch (failure.code) {
    case auth::errc::email_invalid: {
      protocol::problem what =
          make(codes::email_address_invalid, "The email address is not valid: " + failure.detail);
      what.errors.push_back({"/email", failure.detail});
      return what;
    }
    case auth::errc::weak_password: {
      protocol::problem what = make(
          codes::weak_password, "The password is too weak: choose a longer one that is not commonly used.");
      what.weak_password_reasons = failure.reasons;
      what.errors.push_back({"/password", "too weak"});
      return what;
    }
    case auth::errc::same_password:
      return make(codes::same_password, "New password should be different from the old password.");
    case auth::errc::current_password_required:
      return make(codes::current_password_required, "Changing the password needs `current_password`.");
    case auth::errc::current_password_invalid:
      return make(codes::current_password_invalid, "`current_password` is not the account's password.");
    case auth::errc::metadata_too_large: {
      protocol::problem what =
          make(codes::validation_failed,
               "The user metadata would exceed 4 KiB; it travels in every access token.");
      what.errors.push_back({"/data", "at most 4096 bytes in all"});
      return what;
    }
    default:
      return make(codes::signup_disabled, "Signups not allowed for this instance");
  }
}

}  // namespace

protocol::problem to_problem(const auth::error& failure, origin from) {
  switch (failure.code) {
    case auth::errc::invalid_credentials:
      return make(codes::invalid_credentials, "Invalid login credentials");
    case auth::errc::email_not_confirmed:
      return make(codes::email_not_confirmed, "Email not confirmed");
    case auth::errc::account_exists:
      return make(codes::user_already_exists, "User already registered");
    case auth::errc::account_not_found:
    case auth::errc::account_banned:
    case auth::errc::session_not_found:
    case auth::errc::session_expired:
    case auth::errc::refresh_token_not_found:
    case auth::errc::refresh_token_reused:
      return from_state_error(failure, from);
    case auth::errc::email_invalid:
    case auth::errc::weak_password:
    case auth::errc::same_password:
    case auth::errc::current_password_required:
    case auth::errc::current_password_invalid:
    case auth::errc::metadata_too_large:
    case auth::errc::signup_disabled:
      return from_input_error(failure);
    case auth::errc::rate_limited:
      return make(codes::over_request_rate_limit, "Too many requests; slow down.");
    case auth::errc::conflict:
    case auth::errc::overloaded:
    case auth::errc::unavailable: {
      protocol::problem what =
          make(codes::over_capacity, failure.may_have_happened
                                         ? "The answer was lost and the request may have been carried out."
                                         : "The request was not carried out; try again shortly.");
      what.reason = failure.reason.empty() ? "conflict" : failure.reason;
      what.may_have_happened = failure.may_have_happened;
      return what;
    }
    case auth::errc::internal:
      break;
  }
  // A refresh answers 200, 400 or 503 and nothing else: auth-js takes other failures for a sign-out.
  if (from == origin::token) {
    protocol::problem what = make(codes::over_capacity,
                                  "Something went wrong on our side; the request may have been carried out.");
    what.reason = "internal";
    what.may_have_happened = true;
    return what;
  }
  return make(codes::unexpected_failure,
              "Something went wrong on our side; the request id names it in our log.");
}

namespace {

/// What the service itself refuses (no such method, too large, over capacity), in the family's own words.
void answer_as_oauth(net::request_context& request, const protocol::problem& what) {
  const unsigned status = what.http_status();
  std::string_view error = "invalid_request";
  if (status == 503 || status == 504 || status == 429) error = "temporarily_unavailable";
  if (status == 500) error = "server_error";
  answer_oauth_error(request, status, error, what.detail);
}

}  // namespace

bool wants_string_codes(const net::request_context& request) {
  // Versions are dates (YYYY-MM-DD), which compare as text; anything else asks for nothing.
  const std::string_view version = request.header("x-supabase-api-version");
  constexpr std::string_view shape = "dddd-dd-dd";
  if (version.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool is_digit = version[i] >= '0' && version[i] <= '9';
    if (shape[i] == 'd' ? !is_digit : version[i] != '-') return false;
  }
  return version >= string_code_version;
}

void answer_rate_limited(service& application, net::request_context& request,
                         std::chrono::seconds retry_after) {
  answer(application, request, make(codes::over_request_rate_limit, "Too many requests; slow down."),
         retry_after);
}

void answer(service& application, net::request_context& request, protocol::problem what,
            std::chrono::seconds retry_after) {
  if (is_oauth(request)) return answer_as_oauth(request, what);
  what.request_id = request.id();
  request.out.status = what.http_status();
  request.out.content_type = protocol::problem_content_type;
  request.out.body = protocol::encode(what, wants_string_codes(request), application.how().site_url);
  request.out.set("x-sb-error-code", std::string{what.code->code});
  if (request.out.status == 429 || request.out.status == 503) {
    request.out.set("Retry-After", std::to_string(retry_after.count()));
  }
}

void answer_json(net::request_context& request, std::string body, unsigned status) {
  request.out.status = status;
  request.out.body = std::move(body);
}

void answer_decode_error(service& application, net::request_context& request,
                         const protocol::decode_error& failure) {
  protocol::problem what = make(*failure.code, failure.detail);
  if (!failure.pointer.empty()) what.errors.push_back({failure.pointer, failure.detail});
  answer(application, request, std::move(what));
}

void answer_error(service& application, net::request_context& request, const auth::error& failure,
                  origin from) {
  if (failure.code == auth::errc::internal) {
    application.watcher().failed(request, failure.reason, failure.detail);
  }
  answer(application, request, to_problem(failure, from), std::max(failure.retry_after, usual_retry_after));
}

}  // namespace pam::api
