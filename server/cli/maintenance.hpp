#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "db/admin_connection.hpp"
#include "server/cli/migration_error.hpp"

namespace pam::cli {

/// How a round of maintenance behaves.
struct maintenance_options {
  std::map<std::string, std::chrono::seconds> keep;  ///< by table: how long after a partition's end
  std::chrono::seconds report_interval{900};
  int bloat_percent = 50;
  std::int64_t bloat_bytes = 64 * 1024 * 1024;
  std::chrono::milliseconds step_limit{300'000};  ///< statement_timeout of each statement
  std::chrono::milliseconds lock_limit{50};       ///< lock_timeout: nobody queues behind us for longer
  int lock_tries = 200;
  int ahead = 3;                                    ///< partitions beyond the current one
  int busy_backends = 64;                           ///< more active ones: what can wait does
  std::int64_t lag_limit_bytes = 16 * 1024 * 1024;  ///< likewise, for a replica's WAL to replay
  bool is_dry_run = false;                          ///< says what it would do and why
};

enum class step_outcome : std::uint8_t {
  done,       ///< something was changed (or would be)
  postponed,  ///< the database is busy or a replica lags
  failed,
};

/// One thing that was done, or would be, and why.
struct step_report {
  std::string step;  ///< "partitions", "refresh:report_active"; the key in maintenance_steps
  std::string line;  ///< for people
  step_outcome outcome = step_outcome::done;
  std::chrono::milliseconds taken{};
};

using maintenance_listener = std::function<void(const step_report&)>;

/// One round: interrupted detaches are finished, partitions made ahead, old ones detached and dropped, orphan
/// claims freed, stale heartbeats removed, tables vacuumed where autovacuum is behind,
/// statistics gathered that it does not gather, bloated indexes built
/// anew, reports refreshed; each step noted in maintenance_steps. A step that fails does not stop the next.
/// @param connection  PostgreSQL itself, as pam_owner or a member of it; blocks
/// @return the steps that failed; an error only when the round could not begin
[[nodiscard]] migration_result<int> maintain(db::admin_connection& connection,
                                             const maintenance_options& options,
                                             const maintenance_listener& listener);

/// Tries to become the one that maintains, by a transaction-level advisory lock held on `connection` until
/// `resign` or its end. Holds no snapshot, so nothing waits for it.
[[nodiscard]] migration_result<bool> lead(db::admin_connection& connection);
void resign(db::admin_connection& connection);

}  // namespace pam::cli
