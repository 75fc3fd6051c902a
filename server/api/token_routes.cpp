// POST /token: the password and refresh_token grants.
#include <algorithm>
#include <utility>

#include "protocol/refresh_token_text.hpp"
#include "protocol/requests.hpp"
#include "server/api/answers.hpp"
#include "server/api/conversions.hpp"
#include "server/api/routes.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

void answer_with(service& application, net::request_context& request, const protocol::error_code& code,
                 std::string_view detail) {
  protocol::problem what;
  what.code = &code;
  what.detail = detail;
  answer(application, request, std::move(what));
}

/// Gives the client its device, as a cookie for browsers and as a header for apps.
void give_device(const service& application, net::request_context& request, std::string device) {
  if (device.empty()) return;
  request.out.set("Set-Cookie", std::string{device_cookie} + "=" + device +
                                    "; Path=" + application.how().prefix +
                                    "/token; Max-Age=7776000; Secure; HttpOnly; SameSite=Lax");
  request.out.set(device_header, std::move(device));
}

boost::asio::awaitable<void> password_grant(service& application, net::request_context& request) {
  auto asked = protocol::decode_password_grant(request.body);
  if (asked.has_error()) {
    answer_decode_error(application, request, asked.error());
    co_return;
  }
  if (!application.how().features.email) {
    answer_with(application, request, codes::email_provider_disabled, "Email logins are disabled");
    co_return;
  }
  if (!asked->email) {
    if (asked->phone) {
      answer_with(application, request, codes::phone_provider_disabled, "Phone logins are disabled");
    } else {
      answer_with(application, request, codes::validation_failed, "missing email or phone");
    }
    co_return;
  }
  auth::sign_in_command command;
  command.email = std::move(*asked->email);
  command.password = crypto::secret{asked->password.view()};
  command.amr = new_amr("password");
  command.place = place_of(request);
  command.device = device_of(request);
  auto outcome = co_await application.accounts().sign_in(std::move(command), request.deadline);
  if (outcome.has_error()) {
    answer_error(application, request, outcome.error(), origin::token);
    co_return;
  }
  give_device(application, request, std::move(outcome->new_device));
  answer_grant(application, request, std::move(outcome->grant), std::move(outcome->weak_password_reasons));
}

boost::asio::awaitable<void> refresh_grant(service& application, net::request_context& request) {
  auto asked = protocol::decode_refresh_grant(request.body);
  if (asked.has_error()) {
    answer_decode_error(application, request, asked.error());
    co_return;
  }
  const auto image = protocol::decode_refresh_token(asked->refresh_token.view());
  if (!image) {
    answer_with(application, request, codes::refresh_token_not_found,
                "Invalid Refresh Token: Refresh Token Not Found");
    co_return;
  }
  auto granted = co_await application.sessions().refresh(crypto::parse(*image), request.deadline);
  if (granted.has_error()) {
    answer_error(application, request, granted.error(), origin::token);
    co_return;
  }
  answer_grant(application, request, std::move(*granted));
}

/// The grants GoTrue's clients know and this server does not offer, each with the answer they understand;
/// whatever else is no grant type at all.
void refuse_grant(service& application, net::request_context& request, std::string_view grant_type) {
  if (grant_type == "pkce") {
    answer_with(application, request, codes::flow_state_not_found,
                "invalid flow state, no valid flow state found");
  } else if (grant_type == "id_token") {
    answer_with(application, request, codes::provider_disabled, "Sign-in with an ID token is disabled");
  } else if (grant_type == "web3") {
    answer_with(application, request, codes::feature_disabled, "This server does not offer web3 sign-in.");
  } else {
    answer_with(application, request, codes::invalid_credentials,
                "unsupported_grant_type: grant_type must be password or refresh_token");
  }
}

}  // namespace

boost::asio::awaitable<void> post_token(service& application, net::request_context& request) {
  const std::string grant_type = request.query_value("grant_type");
  if (grant_type != "password" && grant_type != "refresh_token") {
    refuse_grant(application, request, grant_type);
    co_return;
  }
  if (!has_json_body(application, request)) co_return;
  if (grant_type == "password") {
    co_await password_grant(application, request);
  } else {
    co_await refresh_grant(application, request);
  }
}

}  // namespace pam::api
