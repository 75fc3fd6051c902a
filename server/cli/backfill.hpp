#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "db/admin_connection.hpp"
#include "server/cli/migration_directives.hpp"
#include "server/cli/migration_error.hpp"
#include "server/cli/progress_line.hpp"

namespace pam::cli {

/// How gently a backfill runs.
struct backfill_pace {
  double duty = 0.5;                                ///< share of the time it works, above 0, at most 1
  std::int64_t lag_limit_bytes = 16 * 1024 * 1024;  ///< pause while a replica has this much to replay
  std::chrono::milliseconds lag_poll{500};          ///< between looks while paused
  std::chrono::milliseconds report_every{1'000};    ///< between progress reports
};

/// What a backfill tells while it runs. Called on the caller's thread; both may be empty.
struct backfill_listener {
  std::function<void(const row_progress&)> on_rows;
  std::function<void(std::string line)> on_pause;
};

/// One backfill: a statement with `$1` the last key of the batch before (NULL at first) and `$2` the size of
/// a batch, which answers one row: the last key of its batch in text form, NULL after the last one, and how
/// many rows it looked at.
struct backfill {
  std::string name;
  std::string_view script;
  migration_directives how;
};

/// Runs a backfill to its end. Every batch is one transaction with the key it reached (schema_backfills), so
/// a killed run goes on exactly where it stood. Works `duty` of the time and pauses while a replica lags.
/// @return failed with the batch's error, edited when it began with another text, locked when a batch did not
///         get its locks in `how.retries` tries; what was done stays done
[[nodiscard]] migration_result<void> run_backfill(db::admin_connection& connection, const backfill& what,
                                                  const backfill_pace& pace,
                                                  const backfill_listener& listener);

}  // namespace pam::cli
