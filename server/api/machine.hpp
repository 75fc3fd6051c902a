#pragma once

#include <optional>
#include <string>

#include "server/api/service.hpp"

namespace pam::api {

/// Whom a machine token speaks for.
struct machine_caller {
  std::string role;     ///< one of `settings::admin_roles`
  std::string subject;  ///< its `sub`: who uses it; for the audit, not for decisions
};

/// The gate of every administrator's route: a token signed by the machine key (`pam-auth token`), with a
/// role of `admin_roles`, with `exp` and `aud` unless `admin_may_be_unbounded`. A user's token never passes,
/// whatever its role says. Needs no database.
/// @return nullopt when the request has been answered: 401 no_authorization, 403 bad_jwt or not_admin
[[nodiscard]] std::optional<machine_caller> require_machine(service& application,
                                                            net::request_context& request);

/// The same judgement without an answer; for routes that have an error format of their own.
enum class machine_refusal : std::uint8_t { no_token, bad_token, not_admin };
[[nodiscard]] std::optional<machine_caller> verify_machine(service& application,
                                                           const net::request_context& request,
                                                           machine_refusal& why);

}  // namespace pam::api
