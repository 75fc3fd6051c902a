#pragma once

#include <span>
#include <string_view>

#include <boost/asio/awaitable.hpp>

#include "server/net/router.hpp"

namespace pam::api {

class service;

/// Answers one request into `request.out`. Runs as part of the request's coroutine.
using handler = boost::asio::awaitable<void> (*)(service& application, net::request_context& request);

/// Finds the route of a request: first-party routes under `prefix`, OAuth 2.0 at the root, discovery at
/// both.
[[nodiscard]] net::route_match match_route(std::string_view prefix, const net::request_context& request);

/// True for a path that GoTrue's clients call and this server has no route for: 404 `feature_disabled`.
[[nodiscard]] bool is_switched_off(std::string_view prefix, const net::request_context& request);

/// What the request costs: the route's class, or `hash` for a password grant.
[[nodiscard]] net::cost_class cost_of(const net::route& route, const net::request_context& request);

/// Every route, first-party ones first (patterns without the prefix), then those of OAuth 2.0: for metrics
/// and documentation.
[[nodiscard]] std::span<const net::route> all_routes();

/// Where a pattern of the table answers: at the root, below the prefix, or both.
[[nodiscard]] bool answers_at_root(net::method verb, std::string_view pattern);
[[nodiscard]] bool answers_below_prefix(net::method verb, std::string_view pattern);

/// The handler behind a `net::route::index`.
[[nodiscard]] handler handler_of(std::size_t index);

// The endpoint groups, a file each.
boost::asio::awaitable<void> post_signup(service&, net::request_context&);  // account_routes.cpp
boost::asio::awaitable<void> get_user(service&, net::request_context&);
boost::asio::awaitable<void> put_user(service&, net::request_context&);
boost::asio::awaitable<void> post_token(service&, net::request_context&);   // token_routes.cpp
boost::asio::awaitable<void> post_logout(service&, net::request_context&);  // session_routes.cpp
boost::asio::awaitable<void> get_sessions(service&, net::request_context&);
boost::asio::awaitable<void> delete_sessions(service&, net::request_context&);
boost::asio::awaitable<void> delete_session(service&, net::request_context&);
boost::asio::awaitable<void> post_logout_all(service&, net::request_context&);  // admin_routes.cpp
boost::asio::awaitable<void> get_audit(service&, net::request_context&);        // audit_routes.cpp
boost::asio::awaitable<void> get_report(service&, net::request_context&);
boost::asio::awaitable<void> post_introspect(service&, net::request_context&);  // oauth_routes.cpp
boost::asio::awaitable<void> post_revoke(service&, net::request_context&);

/// Answers the routes that know their answer already; false, and nothing changed, for all others.
bool answer_at_once(service&, net::request_context&);

void answer_settings(service&, net::request_context&);  // discovery_routes.cpp
void answer_health(service&, net::request_context&);
void answer_jwks(service&, net::request_context&);
boost::asio::awaitable<void> get_settings(service&, net::request_context&);  // discovery_routes.cpp
boost::asio::awaitable<void> get_openapi(service&, net::request_context&);
boost::asio::awaitable<void> get_health(service&, net::request_context&);
boost::asio::awaitable<void> get_jwks(service&, net::request_context&);

}  // namespace pam::api
