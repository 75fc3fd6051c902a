#pragma once

#include <cstdint>
#include <string>

namespace pam::cli::check {

/// The machine that PostgreSQL has to itself.
struct machine {
  std::uint64_t memory_bytes = 0;
  unsigned cores = 1;
};

/// The specification's PostgreSQL settings, made for 16 GiB, scaled to a machine: lines for postgresql.conf,
/// each with the reason of its value, and PgBouncer's pool at the end. Pure.
[[nodiscard]] std::string suggest(const machine& host);

}  // namespace pam::cli::check
