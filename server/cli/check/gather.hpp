#pragma once

#include "db/admin_connection.hpp"
#include "server/cli/check/facts.hpp"
#include "server/runtime/config.hpp"

namespace pam::cli::check {

/// Asks PostgreSQL (both routes), PgBouncer's console and this machine. Reads only; changes nothing.
/// What cannot be reached is a fact, never an error. Blocking, some seconds at most for each of them.
/// @param processes  how many of our processes share the database; 0: as configured
[[nodiscard]] facts gather(const runtime::configuration& settings, unsigned processes);

/// How `[database]` reaches its first host, for a tool that speaks as the server does.
[[nodiscard]] db::admin_settings pooled_route(const runtime::configuration& settings);

/// Its part that needs no server.
[[nodiscard]] host_facts gather_host(const runtime::configuration& settings);

}  // namespace pam::cli::check
