#pragma once

#include <iosfwd>

#include "server/cli/migration_runner.hpp"
#include "server/runtime/config.hpp"

namespace pam::cli {

/// `pam-auth migrate ...`: connects as `[migrate]` says, directly to PostgreSQL, and writes one line a step.
/// @param out  progress and results; @param err  the one sentence of a refusal
/// @return exit code: 0 done, 1 refused or failed
/// Blocks; needs no shard. Times are UTC, durations milliseconds.
int run_migrate_up(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                   migration_options options = {});
int run_migrate_down(const runtime::configuration& settings, int target, std::ostream& out, std::ostream& err,
                     migration_options options = {});
/// Runs the backfills that are due and stops before the next migration of another phase.
int run_migrate_backfill(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                         migration_options options = {});
/// Writes every statement that is pending with its lock, rows and expected time; changes nothing.
int run_migrate_plan(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                     const migration_options& options = {});
/// Every applied migration's own verification, then the invariants of the whole database.
/// @return 1 also when an invariant is broken; what is merely untidy is written and forgiven
int run_migrate_verify(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                       migration_options options = {});

/// Writes the history and what is pending; changes nothing and takes no lock.
/// @return 0 when the schema fits this binary, 2 when migrations are pending, 1 refused or failed
int run_migrate_status(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                       const migration_options& options = {});

/// Where `[migrate]` points to: its own host, else the first host of `[database]`.
[[nodiscard]] db::admin_settings migration_endpoint(const runtime::configuration& settings);

}  // namespace pam::cli
