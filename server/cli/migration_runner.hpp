#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "db/admin_connection.hpp"
#include "migrations/migration.hpp"
#include "server/cli/backfill.hpp"
#include "server/cli/migration_error.hpp"
#include "server/cli/migration_ledger.hpp"

namespace pam::cli {

/// One thing a run did or waits for.
struct migration_progress {
  enum class step : std::uint8_t {
    waiting,   ///< another runner holds the lock
    begun,     ///< a migration starts
    retrying,  ///< a table was locked; the same migration starts again after a pause
    done,      ///< applied and verified, or reverted
    verified,  ///< facts checked, nothing changed
    advanced,  ///< a backfill went on: see `rows`
    paused,    ///< a backfill waits for a replica
  };
  step what = step::begun;
  int version = 0;    ///< 0 while waiting
  std::string line;   ///< for people, without a line end
  row_progress rows;  ///< of `advanced`
};

/// How a run behaves. The defaults are what `pam-auth migrate` uses.
struct migration_options {
  std::span<const migrations::migration> known = migrations::embedded_migrations();
  std::string_view app_version = migrations::build_version();
  std::chrono::milliseconds runner_wait{60'000};  ///< how long to wait for another runner
  std::chrono::milliseconds runner_poll{250};
  std::chrono::milliseconds retry_first{200};  ///< pause after the first refused lock; doubles, with jitter
  std::chrono::milliseconds retry_limit{10'000};  ///< longest pause
  bool allow_contract = false;  ///< the operator's word that no server of the previous version runs
  int target = 0;               ///< `migrate_up` stops after this version; 0: the newest
  bool only_backfills = false;  ///< `migrate_up` runs pending backfills and stops before anything else
  backfill_pace pace;
  std::function<void(const migration_progress&)>
      on_progress;  ///< called on the caller's thread; may be empty
};

struct migration_report {
  int from = 0;   ///< version before
  int to = 0;     ///< version now
  int count = 0;  ///< migrations applied, reverted or verified
};

/// Brings the database up to the newest known migration.
///
/// One runner at a time: `pg_try_advisory_lock`, polled (the blocking form deadlocks with CREATE INDEX
/// CONCURRENTLY). A file marked `tx: on` is one transaction with its ledger row and its verification; when a
/// table is locked it gives up after `lock_timeout`, lets the waiting queries through and tries again. A file
/// marked `tx: off` must be one statement; INVALID indexes an interrupted run left are dropped first. One
/// with `batch` runs by key, see `run_backfill`. A migration of phase contract waits for the servers, see
/// `check_instances`; so does every step of `migrate_down`.
/// @param connection  PostgreSQL itself, never a pooler; its role must be pam_owner, or for the first
///                    migration one that may create roles. Blocks: never on a shard.
/// @return what changed; a refusal of `judge`, or guarded, busy, locked, unsuitable, connection, failed.
///         Migrations that were applied before a failure stay applied.
[[nodiscard]] migration_result<migration_report> migrate_up(db::admin_connection& connection,
                                                            const migration_options& options);

/// Takes migrations back, newest first, down to version `target` (0: all). Data of what they made is lost.
[[nodiscard]] migration_result<migration_report> migrate_down(db::admin_connection& connection, int target,
                                                              const migration_options& options);

/// Runs the verification of every applied migration, each in a read-only transaction.
[[nodiscard]] migration_result<migration_report> migrate_verify(db::admin_connection& connection,
                                                                const migration_options& options);

/// The rows of the ledger by version; none when the table does not exist. Changes nothing.
[[nodiscard]] migration_result<std::vector<ledger_row>> read_ledger(db::admin_connection& connection);

}  // namespace pam::cli
