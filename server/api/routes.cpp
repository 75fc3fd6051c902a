#include "server/api/routes.hpp"

#include <array>

#include "server/api/service.hpp"

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
  end_everybody,
  audit,
  report,
  settings,
  openapi,
  health,
  jwks,
  introspect,
  revoke,
  handler_count
};

constexpr std::array<handler, handler_count> handlers{
    post_signup,     post_token,     post_logout,     get_user,        put_user,   get_sessions,
    delete_sessions, delete_session, post_logout_all, get_audit,       get_report, get_settings,
    get_openapi,     get_health,     get_jwks,        post_introspect, post_revoke};

constexpr std::array routes{
    net::route{method::post, "/signup", cost_class::hash, signup},
    net::route{method::post, "/token", cost_class::write, token},  // a password grant counts as hash
    net::route{method::post, "/logout", cost_class::write, logout},
    net::route{method::get, "/user", cost_class::read, read_user},
    net::route{method::put, "/user", cost_class::write, change_user},
    net::route{method::get, "/sessions", cost_class::read, list_sessions},
    net::route{method::del, "/sessions", cost_class::write, end_sessions},
    net::route{method::del, "/sessions/{id}", cost_class::write, end_session},
    net::route{method::post, "/admin/logout_all", cost_class::write, end_everybody},
    net::route{method::get, "/admin/audit", cost_class::read, audit},
    net::route{method::get, "/admin/reports/{name}", cost_class::read, report},
    net::route{method::get, "/settings", cost_class::free, settings},
    net::route{method::get, "/openapi.json", cost_class::free, openapi},
    net::route{method::get, "/health", cost_class::free, health},
    net::route{method::get, "/.well-known/jwks.json", cost_class::free, jwks},
    net::route{method::post, "/oauth2/introspect", cost_class::read, introspect},
    net::route{method::post, "/oauth2/revoke", cost_class::write, revoke},
};

// The table ends with discovery, which answers at the root too, and OAuth 2.0, which answers only there.
constexpr std::size_t discovery_routes = 3;
constexpr std::size_t oauth_routes = 2;
constexpr std::span<const net::route> first_party_routes =
    std::span{routes}.first<routes.size() - oauth_routes>();
constexpr std::span<const net::route> root_routes = std::span{routes}.last<discovery_routes + oauth_routes>();

constexpr net::route off(std::string_view pattern) {
  return {method::get, pattern, cost_class::free, 0};
}

/// What auth-js calls and no route answers yet, or ever will: docs/compatibility.md says which is which.
constexpr std::array switched_off{
    off("/otp"),
    off("/magiclink"),
    off("/verify"),
    off("/resend"),
    off("/recover"),
    off("/reauthenticate"),
    off("/invite"),
    off("/authorize"),
    off("/callback"),
    off("/user/identities/authorize"),
    off("/user/identities/{id}"),
    off("/factors"),
    off("/factors/{id}"),
    off("/factors/{id}/{action}"),
    off("/recovery-codes"),
    off("/recovery-codes/verify"),
    off("/passkeys"),
    off("/passkeys/{id}"),
    off("/passkeys/{ceremony}/{step}"),
    off("/admin/generate_link"),
    off("/admin/users"),
    off("/admin/users/{id}"),
    off("/admin/users/{id}/{part}"),
    off("/admin/users/{id}/{part}/{part_id}"),
    off("/admin/oauth/clients"),
    off("/admin/oauth/clients/{id}"),
    off("/admin/oauth/clients/{id}/regenerate_secret"),
    off("/admin/custom-providers"),
    off("/admin/custom-providers/{id}"),
    off("/admin/sso/providers"),
    off("/admin/sso/providers/{id}"),
    off("/sso"),
    off("/sso/saml/acs"),
    off("/sso/saml/metadata"),
    off("/oauth/authorizations/{id}"),
    off("/oauth/authorizations/{id}/consent"),
    off("/user/oauth/grants"),
};

/// The path below the prefix; empty when it is not below it.
std::string_view below(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix) || path.size() <= prefix.size() || path[prefix.size()] != '/') return {};
  return path.substr(prefix.size());
}

}  // namespace

bool answer_at_once(service& application, net::request_context& request) {
  struct known_answer {
    std::string_view path;
    void (*answer)(service&, net::request_context&);
    bool is_at_root_too;
  };
  static constexpr std::array known{known_answer{"/health", answer_health, true},
                                    known_answer{"/settings", answer_settings, false},
                                    known_answer{"/.well-known/jwks.json", answer_jwks, true}};
  if (request.verb != method::get) return false;
  const std::string_view path = below(application.how().prefix, request.path);
  for (const known_answer& each : known) {
    if (path != each.path && !(each.is_at_root_too && request.path == each.path)) continue;
    request.route = each.path;
    each.answer(application, request);
    return true;
  }
  return false;
}

net::route_match match_route(std::string_view prefix, const net::request_context& request) {
  const std::string_view path = below(prefix, request.path);
  if (!path.empty()) {
    net::route_match found = net::match(first_party_routes, request.verb, path);
    // Without a prefix both families stand at the root.
    if (!prefix.empty() || found.outcome != net::route_match::kind::not_found) return found;
  }
  return net::match(root_routes, request.verb, request.path);
}

bool is_switched_off(std::string_view prefix, const net::request_context& request) {
  const std::string_view path = below(prefix, request.path);
  return !path.empty() &&
         net::match(switched_off, method::get, path).outcome != net::route_match::kind::not_found;
}

net::cost_class cost_of(const net::route& route, const net::request_context& request) {
  if (route.index == token && request.query_value("grant_type") == "password") return cost_class::hash;
  return route.cost;
}

bool answers_at_root(net::method verb, std::string_view pattern) {
  return net::match(root_routes, verb, pattern).outcome == net::route_match::kind::found;
}

bool answers_below_prefix(net::method verb, std::string_view pattern) {
  return net::match(first_party_routes, verb, pattern).outcome == net::route_match::kind::found;
}

std::span<const net::route> all_routes() {
  return routes;
}

handler handler_of(std::size_t index) {
  return handlers[index];
}

}  // namespace pam::api
