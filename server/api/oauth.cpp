#include "server/api/oauth.hpp"

#include "protocol/oauth.hpp"
#include "server/api/answers.hpp"
#include "server/api/bearer.hpp"
#include "server/api/machine.hpp"

namespace pam::api {

bool is_oauth(const net::request_context& request) {
  return request.path.starts_with("/oauth2/");
}

void answer_oauth_error(net::request_context& request, unsigned status, std::string_view error,
                        std::string_view description) {
  request.out.status = status;
  request.out.body = protocol::encode_oauth_error(error, description);
  if (status == 429 || status == 503)
    request.out.set("Retry-After", std::to_string(usual_retry_after.count()));
}

std::optional<std::string> require_oauth_caller(service& application, net::request_context& request) {
  if (!bearer_token(request).empty()) {
    machine_refusal why{};
    auto machine = verify_machine(application, request, why);
    if (machine) return std::move(machine->subject);
    // RFC 6750 section 3.1; a valid token that is no administrator's lacks the scope.
    const bool is_valid = why == machine_refusal::not_admin;
    request.out.set("WWW-Authenticate",
                    is_valid ? "Bearer error=\"insufficient_scope\"" : "Bearer error=\"invalid_token\"");
    answer_oauth_error(request, is_valid ? 403 : 401, is_valid ? "insufficient_scope" : "invalid_token",
                       "A machine token is required.");
    return std::nullopt;
  }
  const auto credentials = protocol::decode_client_credentials(request.header("authorization"));
  if (credentials) {
    auto client = application.clients().authenticate(credentials->id, credentials->secret.view());
    if (client) return client;
  }
  request.out.set("WWW-Authenticate", "Basic realm=\"oauth2\", charset=\"UTF-8\"");
  answer_oauth_error(request, 401, "invalid_client", "Client authentication failed.");
  return std::nullopt;
}

}  // namespace pam::api
