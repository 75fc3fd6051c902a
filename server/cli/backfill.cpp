#include "server/cli/backfill.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <thread>

#include "server/cli/migration_ledger.hpp"

namespace pam::cli {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr const char* enter_row = R"(
INSERT INTO public.schema_backfills (name, sha256, rows_estimated, started_at, updated_at)
VALUES ($1, $2, $3, statement_timestamp(), statement_timestamp())
    ON CONFLICT (name) DO UPDATE SET updated_at = excluded.updated_at
RETURNING sha256, rows_done, rows_estimated)";
constexpr const char* read_key = "SELECT last_key FROM public.schema_backfills WHERE name = $1 FOR UPDATE";
constexpr const char* write_key = R"(
UPDATE public.schema_backfills
   SET last_key = coalesce($2, last_key), rows_done = rows_done + $3, updated_at = statement_timestamp(),
       finished_at = CASE WHEN $2 IS NULL THEN statement_timestamp() END
 WHERE name = $1)";
// Rows of a table with its partitions, as the planner believes.
constexpr const char* estimate_rows = R"(
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint
  FROM pg_class AS c
 WHERE c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass('public.' || quote_ident($1))) WHERE isleaf
                 UNION SELECT to_regclass('public.' || quote_ident($1))))";
constexpr const char* read_lag = R"(
SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint FROM pg_stat_replication)";

std::int64_t as_integer(const db::text_value& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

bool is_about_locks(const db::error& failure) {
  return failure.sqlstate == "55P03" || failure.sqlstate == "40P01" || failure.sqlstate == "40001";
}

class run {
 public:
  run(db::admin_connection& connection, const backfill& what, const backfill_pace& pace,
      const backfill_listener& listener)
      : connection_(connection), what_(what), pace_(pace), listener_(listener) {}

  migration_result<void> all() {
    const auto begun = begin();
    if (begun.has_error()) return begun.error();
    auto next_report = begin_ + pace_.report_every;
    for (;;) {
      const auto before = steady_clock::now();
      const auto went_on = batch_with_retries();
      if (went_on.has_error()) return went_on.error();
      if (!*went_on) break;
      const auto paused = wait_for_replicas();
      if (paused.has_error()) return paused.error();
      if (steady_clock::now() >= next_report) {
        report();
        next_report = steady_clock::now() + pace_.report_every;
      }
      const double rest = (1 - pace_.duty) / pace_.duty;
      std::this_thread::sleep_for((steady_clock::now() - before) * rest);
    }
    report();
    return {};
  }

 private:
  migration_error failed(const db::error& failure) const {
    if (is_about_locks(failure))
      return {migration_errc::locked, "Backfill " + what_.name + " did not get its locks: " + failure.detail +
                                          ". What it did so far stays; run the command again."};
    return {failure.code == db::errc::rejected ? migration_errc::failed : migration_errc::connection,
            "Backfill " + what_.name + " stopped after " + std::to_string(done_) +
                " rows: " + failure.detail + ". What it did so far stays; it goes on there."};
  }

  migration_result<void> begin() {
    const auto rows = connection_.query(estimate_rows, {what_.how.table});
    if (rows.has_error()) return failed(rows.error());
    const std::string digest = sha256_hex(what_.script);
    const auto entered = connection_.query(enter_row, {what_.name, digest, rows->values[0][0]});
    if (entered.has_error()) return failed(entered.error());
    if (entered->values[0][0] != digest)
      return migration_error{migration_errc::edited,
                             "Backfill " + what_.name +
                                 " was edited after it had begun: restore its file, or "
                                 "delete its row of schema_backfills to begin again."};
    done_ = done_before_ = as_integer(entered->values[0][1]);
    estimated_ = as_integer(entered->values[0][2]);
    begin_ = steady_clock::now();
    return {};
  }

  /// One batch and the key it reached, in one transaction. @return false after the last
  db::result<bool> batch() {
    auto ready =
        connection_.run("BEGIN; SET LOCAL lock_timeout = " + std::to_string(what_.how.lock_timeout.count()));
    if (ready.has_error()) return ready.error();
    const auto key = connection_.query(read_key, {what_.name});
    if (key.has_error()) return key.error();
    if (!what_.how.role.empty()) {
      auto role = connection_.run("SET LOCAL ROLE " + db::quote_identifier(what_.how.role));
      if (role.has_error()) return role.error();
    }
    const db::text_value last = key->empty() ? db::text_value{} : key->values[0][0];
    const auto found = connection_.query(std::string{what_.script}, {last, std::to_string(what_.how.batch)});
    if (found.has_error()) return found.error();
    if (found->size() != 1 || found->columns.size() != 2) {
      db::error wrong;
      wrong.code = db::errc::rejected;
      wrong.detail = "a batch must answer one row of two columns: last key, rows";
      return wrong;
    }
    const db::text_row& reached = found->values[0];
    const auto written =
        connection_.query(write_key, {what_.name, reached[0], std::to_string(as_integer(reached[1]))});
    if (written.has_error()) return written.error();
    auto committed = connection_.run("COMMIT");
    if (committed.has_error()) return committed.error();
    done_ += as_integer(reached[1]);
    return reached[0].has_value();
  }

  migration_result<bool> batch_with_retries() {
    for (int tries = 0;; ++tries) {
      const auto done = batch();
      if (done.has_value()) return *done;
      if (connection_.is_open() && connection_.is_in_transaction())
        static_cast<void>(connection_.run("ROLLBACK"));
      if (!is_about_locks(done.error()) || !connection_.is_open() || tries >= what_.how.retries)
        return failed(done.error());
      std::this_thread::sleep_for(milliseconds{std::min(1000, 20 << std::min(tries, 6))});
    }
  }

  /// Replay of a replica is behind: writing more would only make it later.
  migration_result<void> wait_for_replicas() {
    for (bool is_first = true;; is_first = false) {
      const auto lag = connection_.query(read_lag);
      if (lag.has_error()) return failed(lag.error());
      const std::int64_t bytes = as_integer(lag->values[0][0]);
      if (bytes <= pace_.lag_limit_bytes) return {};
      if (is_first && listener_.on_pause)
        listener_.on_pause(what_.name + ": paused, a replica is " + std::to_string(bytes / 1024) +
                           " kB of WAL behind");
      std::this_thread::sleep_for(pace_.lag_poll);
    }
  }

  void report() const {
    if (!listener_.on_rows) return;
    listener_.on_rows({.name = what_.name,
                       .done = done_,
                       .estimated = estimated_,
                       .done_before = done_before_,
                       .taken = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin_)});
  }

  db::admin_connection& connection_;
  const backfill& what_;
  const backfill_pace& pace_;
  const backfill_listener& listener_;
  steady_clock::time_point begin_;
  std::int64_t done_ = 0;
  std::int64_t done_before_ = 0;
  std::int64_t estimated_ = 0;
};

}  // namespace

migration_result<void> run_backfill(db::admin_connection& connection, const backfill& what,
                                    const backfill_pace& pace, const backfill_listener& listener) {
  return run{connection, what, pace, listener}.all();
}

}  // namespace pam::cli
