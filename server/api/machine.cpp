#include "server/api/machine.hpp"

#include <algorithm>
#include <utility>

#include "protocol/claims.hpp"
#include "server/api/bearer.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

}  // namespace

std::optional<machine_caller> verify_machine(service& application, const net::request_context& request,
                                             machine_refusal& why) {
  const std::string_view token = bearer_token(request);
  why = machine_refusal::no_token;
  if (token.empty()) return std::nullopt;
  const auto verified = application.tokens().verify_any(token, application.how().admin_may_be_unbounded);
  why = machine_refusal::bad_token;
  if (verified.has_error()) return std::nullopt;
  why = machine_refusal::not_admin;
  if (verified->use != crypto::key_use::machine) return std::nullopt;
  auto claims = protocol::decode_machine_claims(verified->payload);
  if (claims.has_error()) return std::nullopt;
  const auto& roles = application.how().admin_roles;
  if (std::ranges::find(roles, claims->role) == roles.end()) return std::nullopt;
  return machine_caller{std::move(claims->role), std::move(claims->sub)};
}

std::optional<machine_caller> require_machine(service& application, net::request_context& request) {
  machine_refusal why{};
  auto caller = verify_machine(application, request, why);
  if (caller) return caller;
  switch (why) {
    case machine_refusal::no_token:
      refuse_token(application, request, codes::no_authorization, "This endpoint requires a machine token");
      break;
    case machine_refusal::bad_token:
      refuse_token(application, request, codes::bad_jwt, "invalid JWT: unable to parse or verify signature");
      break;
    case machine_refusal::not_admin:
      refuse_token(application, request, codes::not_admin, "User not allowed");
      break;
  }
  return std::nullopt;
}

}  // namespace pam::api
