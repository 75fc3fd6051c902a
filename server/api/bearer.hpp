#pragma once

#include <optional>

#include <boost/asio/awaitable.hpp>

#include "server/api/service.hpp"

namespace pam::api {

/// Verifies the request's access token: signature and claims, without the database.
/// @return nullopt when the request has been answered with 401 or 403
[[nodiscard]] std::optional<auth::bearer> verify_bearer(service& application, net::request_context& request);

/// Verifies the token, then reads session and account on the primary.
/// @return nullopt when the request has been answered
[[nodiscard]] boost::asio::awaitable<std::optional<auth::bearer>> require_bearer(
    service& application, net::request_context& request);

}  // namespace pam::api
