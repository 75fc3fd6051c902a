#pragma once

#include <optional>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "protocol/problem.hpp"
#include "server/api/service.hpp"

namespace pam::api {

/// The request's `bearer_token_of`, empty when there is none.
[[nodiscard]] std::string_view bearer_token(const net::request_context& request);

/// Answers 401 or 403 with the challenge that names the reason (RFC 6750 section 3).
void refuse_token(service& application, net::request_context& request, const protocol::error_code& code,
                  std::string_view detail);

/// Verifies the request's access token: signature and claims, without the database.
/// @return nullopt when the request has been answered with 401 or 403
[[nodiscard]] std::optional<auth::bearer> verify_bearer(service& application, net::request_context& request);

/// Verifies the token, then reads session and account on the primary.
/// @return nullopt when the request has been answered
[[nodiscard]] boost::asio::awaitable<std::optional<auth::bearer>> require_bearer(
    service& application, net::request_context& request);

}  // namespace pam::api
