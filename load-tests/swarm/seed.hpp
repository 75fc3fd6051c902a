#pragma once

#include <cstdint>
#include <string>

#include "load-tests/swarm/population.hpp"

namespace pam::load {

/// Fills accounts, claims, identities and sessions with the users [0, count) by COPY, one transaction a
/// table, then ANALYZE. Shows a progress bar on standard error when that is a terminal, else a line each
/// tenth.
/// @param conninfo  libpq's, of a role that may write the tables directly
/// Throws std::runtime_error with PostgreSQL's message.
void seed(const population& people, std::uint32_t count, const std::string& conninfo);

}  // namespace pam::load
