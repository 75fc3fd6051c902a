#include "server/api/bearer.hpp"

#include <chrono>
#include <utility>

#include "protocol/claims.hpp"
#include "server/api/answers.hpp"
#include "server/api/bearer_token.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

}  // namespace

std::string_view bearer_token(const net::request_context& request) {
  return bearer_token_of(request.header("authorization"));
}

void refuse_token(service& application, net::request_context& request, const protocol::error_code& code,
                  std::string_view detail) {
  protocol::problem what;
  what.code = &code;
  what.detail = detail;
  // RFC 6750 section 3: the challenge names the reason.
  request.out.set("WWW-Authenticate", code.status == 401 ? "Bearer" : "Bearer error=\"invalid_token\"");
  answer(application, request, std::move(what));
}

std::optional<auth::bearer> verify_bearer(service& application, net::request_context& request) {
  const std::string_view token = bearer_token(request);
  if (token.empty()) {
    refuse_token(application, request, codes::no_authorization, "This endpoint requires a Bearer token");
    return std::nullopt;
  }
  const std::int64_t now =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  const std::uint64_t epoch = application.tokens().epoch();
  if (auto known = application.verified().find(token, now, epoch)) return known;
  auto payload = application.tokens().verify(token);
  if (payload.has_error()) {
    // Expiry is the one reason a client can act on; the others would only help a forger.
    const bool has_expired = payload.error().code == crypto::errc::expired;
    refuse_token(
        application, request, codes::bad_jwt,
        has_expired ? "invalid JWT: token is expired" : "invalid JWT: unable to parse or verify signature");
    return std::nullopt;
  }
  auto subject = protocol::decode_token_subject(*payload);
  if (subject.has_error()) {
    refuse_token(application, request, codes::bad_jwt, "invalid JWT: it names no user session");
    return std::nullopt;
  }
  const auth::bearer who{{subject->account, subject->session}, subject->iat};
  application.verified().keep(token, who, subject->exp, epoch);
  return who;
}

boost::asio::awaitable<std::optional<auth::bearer>> require_bearer(service& application,
                                                                   net::request_context& request) {
  std::optional<auth::bearer> who = verify_bearer(application, request);
  if (!who) co_return who;
  auto checked = co_await application.sessions().check(*who, request.deadline);
  if (checked.has_error()) {
    answer_error(application, request, checked.error(), origin::bearer);
    who.reset();
  }
  co_return who;
}

}  // namespace pam::api
