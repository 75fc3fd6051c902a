#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "server/api/service.hpp"

namespace pam::api {

/// Whether a request belongs to the OAuth 2.0 family, which has an error format of its own.
[[nodiscard]] bool is_oauth(const net::request_context& request);

/// Answers with an error of RFC 6749 section 5.2; 503 asks to try again, 401 says how to authenticate.
/// @param error  a code registered for OAuth 2.0, e.g. "invalid_request"
void answer_oauth_error(net::request_context& request, unsigned status, std::string_view error,
                        std::string_view description);

/// Who calls an endpoint for resource servers: a configured client by client_secret_basic (RFC 6749 section
/// 2.3.1), or a machine token (RFC 6750). Anything else is answered 401 invalid_client or invalid_token.
/// @return the client's id, or the machine token's subject; nullopt when the request has been answered
[[nodiscard]] std::optional<std::string> require_oauth_caller(service& application,
                                                              net::request_context& request);

}  // namespace pam::api
