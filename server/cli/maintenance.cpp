#include "server/cli/maintenance.hpp"

#include <charconv>
#include <thread>

#include "server/cli/detail/maintenance_round.hpp"

namespace pam::cli {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// "pam_main" as a number.
constexpr const char* leader_lock = "8097873858475100526";

std::int64_t as_integer(const db::text_value& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

milliseconds since(steady_clock::time_point begin) {
  return std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
}

}  // namespace

namespace detail {

migration_result<void> maintenance_round::prepare() {
  const auto model = connection_.query("SELECT to_regclass('public.maintenance_steps') IS NOT NULL");
  if (model.has_error())
    return migration_error{migration_errc::connection,
                           "Maintenance could not begin: " + model.error().detail};
  if (model->values[0][0] != "t")
    return migration_error{migration_errc::failed,
                           "This database has no maintenance_steps: run `pam-auth migrate up` first."};
  const auto ready = connection_.run(
      "SET search_path = public, pg_temp; SET ROLE pam_owner; SET idle_in_transaction_session_timeout = 0;"
      "SET lock_timeout = " +
      std::to_string(options_.lock_limit.count()) +
      "; SET statement_timeout = " + std::to_string(options_.step_limit.count()));
  if (ready.has_error())
    return migration_error{migration_errc::failed,
                           "Maintenance needs the rights of pam_owner: " + ready.error().detail};
  return {};
}

void maintenance_round::report(const std::string& step, std::string line, step_outcome outcome,
                               milliseconds taken) {
  if (outcome == step_outcome::failed) ++failures_;
  if (listener_) listener_({.step = step, .line = std::move(line), .outcome = outcome, .taken = taken});
}

db::text_rows maintenance_round::ask(const std::string& step, const std::string& sql,
                                     std::initializer_list<db::text_value> parameters) {
  auto rows = connection_.query(sql, parameters);
  if (rows.has_value()) return std::move(*rows);
  report(step, step + ": " + rows.error().detail, step_outcome::failed);
  return {};
}

std::optional<db::error> maintenance_round::under_lock_rule(const std::string& sql, db::text_rows* rows) {
  for (int tries = 1;; ++tries) {
    db::error failure;
    if (rows == nullptr) {
      auto done = connection_.run(sql);
      if (done.has_value()) return std::nullopt;
      failure = done.error();
    } else {
      auto done = connection_.query(sql);
      if (done.has_value()) {
        *rows = std::move(*done);
        return std::nullopt;
      }
      failure = done.error();
    }
    const bool is_about_locks = failure.sqlstate == "55P03" || failure.sqlstate == "40P01";
    if (!is_about_locks || tries >= options_.lock_tries || !connection_.is_open()) return failure;
    std::uniform_int_distribution<int> jitter{10, 100};
    std::this_thread::sleep_for(milliseconds{jitter(random_)});
  }
}

bool maintenance_round::act(const std::string& step, const std::string& what, const std::string& sql) {
  if (options_.is_dry_run) {
    report(step, "would " + what, step_outcome::done);
    return true;
  }
  const auto begin = steady_clock::now();
  const auto failure = under_lock_rule(sql, nullptr);
  if (failure) {
    report(step, "could not " + what + ": " + failure->detail, step_outcome::failed, since(begin));
    return false;
  }
  report(step, what, step_outcome::done, since(begin));
  return true;
}

std::int64_t maintenance_round::count(const std::string& step, const std::string& what,
                                      const std::string& sql) {
  const auto begin = steady_clock::now();
  db::text_rows rows;
  const auto failure = under_lock_rule(sql, &rows);
  if (failure) {
    report(step, "could not " + what + ": " + failure->detail, step_outcome::failed, since(begin));
    return 0;
  }
  if (rows.affected > 0)
    report(step, what + " (" + std::to_string(rows.affected) + ")", step_outcome::done, since(begin));
  return rows.affected;
}

// Asked as who signed in: the owner's role sees what others do only with pg_read_all_stats.
bool maintenance_round::is_busy(const std::string& step) {
  static_cast<void>(connection_.run("RESET ROLE"));
  const db::text_rows seen = ask(
      step,
      "SELECT (SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND backend_type = 'client "
      "backend'), (SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)), 0)::bigint FROM "
      "pg_stat_replication)");
  static_cast<void>(connection_.run("SET ROLE pam_owner"));
  if (seen.empty()) return true;
  const std::int64_t active = as_integer(seen.values[0][0]);
  const std::int64_t lag = as_integer(seen.values[0][1]);
  if (active <= options_.busy_backends && lag <= options_.lag_limit_bytes) return false;
  report(
      step,
      step + " postponed: " +
          (lag > options_.lag_limit_bytes ? "a replica is " + std::to_string(lag / 1024) + " kB of WAL behind"
                                          : std::to_string(active) + " backends are at work"),
      step_outcome::postponed);
  return true;
}

void maintenance_round::note(const std::string& step, milliseconds taken, bool is_done,
                             const std::string& detail) {
  if (options_.is_dry_run) return;
  const auto written = connection_.query(
      "INSERT INTO maintenance_steps (step, finished_at, duration_ms, is_done, detail) VALUES ($1, "
      "statement_timestamp(), $2, $3, $4) ON CONFLICT (step) DO UPDATE SET finished_at = "
      "excluded.finished_at, "
      "duration_ms = excluded.duration_ms, is_done = excluded.is_done, detail = excluded.detail",
      {step, std::to_string(taken.count()), is_done ? "t" : "f", detail.substr(0, 500)});
  if (written.has_error())
    report(step, "could not note " + step + ": " + written.error().detail, step_outcome::failed);
}

}  // namespace detail

migration_result<int> maintain(db::admin_connection& connection, const maintenance_options& options,
                               const maintenance_listener& listener) {
  detail::maintenance_round round{connection, options, listener};
  const auto ready = round.prepare();
  if (ready.has_error()) return ready.error();
  struct step {
    const char* name;
    void (*run)(detail::maintenance_round&);
  };
  constexpr step steps[] = {
      {"detach", detail::finish_detaches},       {"partitions", detail::make_partitions},
      {"retention", detail::drop_partitions},    {"claims", detail::free_claims},
      {"instances", detail::forget_instances},   {"vacuum", detail::vacuum_tables},
      {"statistics", detail::gather_statistics}, {"indexes", detail::rebuild_indexes},
      {"reports", detail::refresh_reports},
  };
  const auto round_begin = steady_clock::now();
  for (const step& each : steps) {
    const int before = round.failures();
    const auto begin = steady_clock::now();
    each.run(round);
    const bool is_done = round.failures() == before;
    round.note(each.name, since(begin), is_done, is_done ? "" : "see the log of pam-auth maintain");
    if (!connection.is_open()) break;
  }
  round.note("round", since(round_begin), round.failures() == 0,
             std::to_string(round.failures()) + " failures");
  return round.failures();
}

migration_result<bool> lead(db::admin_connection& connection) {
  const auto begun = connection.run("SET idle_in_transaction_session_timeout = 0; BEGIN");
  if (begun.has_error())
    return migration_error{migration_errc::connection, "No leader could be elected: " + begun.error().detail};
  const auto held = connection.query(std::string{"SELECT pg_try_advisory_xact_lock("} + leader_lock + ")");
  if (held.has_error())
    return migration_error{migration_errc::connection, "No leader could be elected: " + held.error().detail};
  const bool is_leader = held->values[0][0] == "t";
  if (!is_leader) resign(connection);
  return is_leader;
}

void resign(db::admin_connection& connection) {
  // A lost connection has given the lock back by itself.
  if (connection.is_open()) static_cast<void>(connection.run("ROLLBACK"));
}

}  // namespace pam::cli
