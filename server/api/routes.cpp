#include "server/api/routes.hpp"

#include <array>

namespace pam::api {
namespace {

using net::cost_class;
using net::method;

enum index : std::size_t {
  signup,
  token,
  logout,
  read_user,
  change_user,
  list_sessions,
  end_sessions,
  end_session,
  settings,
  health,
  jwks,
  handler_count
};

constexpr std::array<handler, handler_count> handlers{
    post_signup,     post_token,     post_logout,  get_user,   put_user, get_sessions,
    delete_sessions, delete_session, get_settings, get_health, get_jwks};

constexpr std::array first_party_routes{
    net::route{method::post, "/signup", cost_class::hash, signup},
    net::route{method::post, "/token", cost_class::write, token},  // a password grant counts as hash
    net::route{method::post, "/logout", cost_class::write, logout},
    net::route{method::get, "/user", cost_class::read, read_user},
    net::route{method::put, "/user", cost_class::write, change_user},
    net::route{method::get, "/sessions", cost_class::read, list_sessions},
    net::route{method::del, "/sessions", cost_class::write, end_sessions},
    net::route{method::del, "/sessions/{id}", cost_class::write, end_session},
    net::route{method::get, "/settings", cost_class::free, settings},
    net::route{method::get, "/health", cost_class::free, health},
    net::route{method::get, "/.well-known/jwks.json", cost_class::free, jwks},
};

/// Discovery answers at the root too: the last rows of the table.
constexpr std::size_t discovery_routes = 2;
constexpr std::span<const net::route> root_routes = std::span{first_party_routes}.last<discovery_routes>();

}  // namespace

net::route_match match_route(std::string_view prefix, const net::request_context& request) {
  std::string_view path = request.path;
  if (path.starts_with(prefix) && path.size() > prefix.size() && path[prefix.size()] == '/') {
    path.remove_prefix(prefix.size());
    return net::match(first_party_routes, request.verb, path);
  }
  return net::match(root_routes, request.verb, path);
}

net::cost_class cost_of(const net::route& route, const net::request_context& request) {
  if (route.index == token && request.query_value("grant_type") == "password") return cost_class::hash;
  return route.cost;
}

std::span<const net::route> all_routes() {
  return first_party_routes;
}

handler handler_of(std::size_t index) {
  return handlers[index];
}

}  // namespace pam::api
