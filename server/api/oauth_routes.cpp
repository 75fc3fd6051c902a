// POST /oauth2/introspect (RFC 7662), POST /oauth2/revoke (RFC 7009).
#include <chrono>
#include <optional>
#include <utility>

#include "protocol/claims.hpp"
#include "protocol/form.hpp"
#include "protocol/oauth.hpp"
#include "protocol/refresh_token_text.hpp"
#include "server/api/answers.hpp"
#include "server/api/oauth.hpp"
#include "server/api/routes.hpp"

namespace pam::api {
namespace {

constexpr std::string_view form_type = "application/x-www-form-urlencoded";

/// True for the type itself in any case, with parameters or without (RFC 9110 section 8.3.1).
bool is_form(std::string_view content_type) {
  if (content_type.size() < form_type.size()) return false;
  for (std::size_t i = 0; i < form_type.size(); ++i) {
    const char c = content_type[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != form_type[i]) return false;
  }
  const char next = content_type.size() == form_type.size() ? ';' : content_type[form_type.size()];
  return next == ';' || next == ' ' || next == '\t';
}

/// The form of an authenticated call; nullopt when the request has been answered with invalid_request.
std::optional<protocol::form> form_of(net::request_context& request) {
  if (!is_form(request.header("content-type"))) {
    answer_oauth_error(request, 400, "invalid_request",
                       "The body must be application/x-www-form-urlencoded.");
    return std::nullopt;
  }
  auto decoded = protocol::decode_form(request.body);
  if (decoded.has_error()) {
    answer_oauth_error(request, 400, "invalid_request", decoded.error().detail);
    return std::nullopt;
  }
  if (!decoded->find("token")) {
    answer_oauth_error(request, 400, "invalid_request", "The parameter token is required.");
    return std::nullopt;
  }
  return std::move(*decoded);
}

std::int64_t to_unix(auth::timestamp moment) {
  return std::chrono::floor<std::chrono::seconds>(moment).time_since_epoch().count();
}

/// Whether the domain could not judge, as opposed to having judged against the token.
bool is_outage(const auth::error& failure) {
  switch (failure.code) {
    case auth::errc::conflict:
    case auth::errc::overloaded:
    case auth::errc::unavailable:
    case auth::errc::internal:
      return true;
    default:
      return false;
  }
}

void answer_outage(service& application, net::request_context& request, const auth::error& failure) {
  if (failure.code == auth::errc::internal) {
    application.watcher().failed(request, failure.reason, failure.detail);
  }
  answer_oauth_error(request, 503, "temporarily_unavailable",
                     "The token could not be judged; try again shortly.");
}

protocol::introspection start_of(service& application) {
  protocol::introspection made;
  made.iss = application.tokens().policy().issuer;
  made.aud = application.tokens().policy().audience;
  return made;
}

boost::asio::awaitable<void> introspect_access(service& application, net::request_context& request,
                                               std::string_view token) {
  answer_json(request, std::string{protocol::inactive_token});
  const auto payload = application.tokens().verify(token);
  if (payload.has_error()) co_return;
  const auto subject = protocol::decode_token_subject(*payload);
  if (subject.has_error()) co_return;
  const auth::bearer who{{subject->account, subject->session}, subject->iat};
  auto account = co_await application.sessions().read(who, request.deadline);
  if (account.has_error()) {
    if (is_outage(account.error())) answer_outage(application, request, account.error());
    co_return;
  }
  protocol::introspection found = start_of(application);
  found.token_type = "Bearer";
  found.sub = subject->account;
  found.session_id = subject->session;
  found.username = account->email;
  found.role = account->role;
  found.aal = subject->aal;
  found.exp = subject->exp;
  found.iat = subject->iat;
  found.is_anonymous = account->is_anonymous;
  answer_json(request, protocol::encode(found));
}

boost::asio::awaitable<void> introspect_refresh(service& application, net::request_context& request,
                                                crypto::refresh_token token) {
  auto end = co_await application.sessions().current_until(token, request.deadline);
  if (end.has_error()) {
    answer_outage(application, request, end.error());
    co_return;
  }
  answer_json(request, std::string{protocol::inactive_token});
  if (!end->has_value()) co_return;
  protocol::introspection found = start_of(application);
  found.sub = token.account;
  found.session_id = token.session;
  found.exp = to_unix(**end);
  answer_json(request, protocol::encode(found));
}

boost::asio::awaitable<auth::result<void>> revoke(service& application, std::string_view token,
                                                  async::deadline deadline) {
  if (const auto image = protocol::decode_refresh_token(token)) {
    co_return co_await application.sessions().revoke(crypto::parse(*image), deadline);
  }
  const auto payload = application.tokens().verify(token);
  if (payload.has_error()) co_return auth::result<void>{};
  const auto subject = protocol::decode_token_subject(*payload);
  if (subject.has_error()) co_return auth::result<void>{};
  const auth::session_key key{subject->account, subject->session};
  co_return co_await application.sessions().revoke(key, deadline);
}

}  // namespace

// token_type_hint is not needed: a refresh token of ours has a prefix no JWT can have (RFC 7662 section 2.1
// lets a server ignore the hint).
boost::asio::awaitable<void> post_introspect(service& application, net::request_context& request) {
  if (!require_oauth_caller(application, request)) co_return;
  const auto asked = form_of(request);
  if (!asked) co_return;
  const std::string_view token = *asked->find("token");
  if (const auto image = protocol::decode_refresh_token(token)) {
    co_await introspect_refresh(application, request, crypto::parse(*image));
  } else {
    co_await introspect_access(application, request, token);
  }
}

// RFC 7009 section 2.2: a token that is unknown, invalid or over is as good as revoked.
boost::asio::awaitable<void> post_revoke(service& application, net::request_context& request) {
  if (!require_oauth_caller(application, request)) co_return;
  const auto asked = form_of(request);
  if (!asked) co_return;
  auto done = co_await revoke(application, *asked->find("token"), request.deadline);
  if (done.has_error()) answer_outage(application, request, done.error());
}

}  // namespace pam::api
