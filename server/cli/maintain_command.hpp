#pragma once

#include <chrono>
#include <iosfwd>

#include "server/cli/maintenance.hpp"
#include "server/runtime/config.hpp"

namespace pam::cli {

/// How `pam-auth maintain` was asked.
struct maintain_request {
  std::chrono::milliseconds every{0};  ///< 0: one round; else one after the other until SIGTERM or SIGINT
  bool is_dry_run = false;
};

/// `[maintain]` of a configuration as a round needs it. Sessions are kept for their absolute lifetime at
/// least.
[[nodiscard]] maintenance_options maintenance_of(const runtime::configuration& settings);

/// Runs rounds on the owner's direct connection ([migrate]) while this process leads; another one's lead is
/// respected. A line for everything that was done. Blocks.
/// @return 0, or 1 when a step failed or the database is away (with `every`: of the last round)
int run_maintain(const runtime::configuration& settings, const maintain_request& wanted, std::ostream& out,
                 std::ostream& err);

}  // namespace pam::cli
