#include "server/cli/detail/migration_work.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <thread>
#include <utility>

#include "server/cli/instance_gate.hpp"

namespace pam::cli::detail {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using step = migration_progress::step;

constexpr int oldest_server = 140'000;
// "pam_migr" as a number: the key every runner of every version agrees on, per database.
constexpr std::string_view runner_lock = "8097873861613807474";

constexpr const char* create_ledger = R"(
CREATE TABLE public.schema_migrations (
  version     integer     NOT NULL CONSTRAINT schema_migrations_pkey PRIMARY KEY CHECK (version > 0),
  name        text        NOT NULL,
  up_sha256   text        NOT NULL CHECK (length(up_sha256) = 64),
  down_sha256 text        NOT NULL CHECK (length(down_sha256) = 64),
  applied_at  timestamptz NOT NULL,
  duration_ms bigint      NOT NULL,
  app_version text        NOT NULL,
  state       text        NOT NULL CHECK (state IN ('running', 'applied', 'failed'))
))";

constexpr const char* write_row = R"(
INSERT INTO public.schema_migrations
       (version, name, up_sha256, down_sha256, applied_at, duration_ms, app_version, state)
VALUES ($1, $2, $3, $4, statement_timestamp(), $5, $6, $7)
    ON CONFLICT (version) DO UPDATE
   SET up_sha256 = excluded.up_sha256, down_sha256 = excluded.down_sha256, applied_at = excluded.applied_at,
       duration_ms = excluded.duration_ms, app_version = excluded.app_version, state = excluded.state)";

std::int64_t as_integer(const db::text_value& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

/// Errors that another try can heal: a lock not granted in time, a deadlock, a serialization failure.
bool is_about_locks(const db::error& failure) {
  return failure.sqlstate == "55P03" || failure.sqlstate == "40P01" || failure.sqlstate == "40001";
}

/// True when `text` contains `name` with nothing of an identifier on either side.
bool mentions(std::string_view text, std::string_view name) {
  const auto is_part = [](char c) { return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); };
  for (std::size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if ((at == 0 || !is_part(text[at - 1])) && (end == text.size() || !is_part(text[end]))) return true;
  }
  return false;
}

}  // namespace

migration_error describe(const db::error& failure, const std::string& what) {
  if (failure.code == db::errc::rejected) {
    return {migration_errc::failed, what + ": " + failure.detail + " (SQLSTATE " + failure.sqlstate + ")."};
  }
  return {migration_errc::connection, what + ": the connection was lost (" + failure.detail +
                                          "). Run the command again: the ledger says what was applied."};
}

/// Refuses what would go wrong half-way: a pooler (its next statement may run on another session, without
/// the lock), a standby, an old server.
migration_result<void> runner::check_server() {
  if (connection_.server_version() < oldest_server) {
    return migration_error{migration_errc::unsuitable, "PostgreSQL 14 or newer is needed, this server is " +
                                                           std::to_string(connection_.server_version()) +
                                                           "."};
  }
  const auto facts = connection_.query("SELECT pg_backend_pid(), pg_is_in_recovery()");
  if (facts.has_error()) return describe(facts.error(), "The server could not be asked what it is");
  if (as_integer(facts->values[0][0]) != connection_.backend_pid()) {
    return migration_error{migration_errc::unsuitable,
                           "This connection goes through a pooler: migrations need PostgreSQL itself (set "
                           "migrate.host and migrate.port)."};
  }
  if (facts->values[0][1] == "t") {
    return migration_error{migration_errc::unsuitable, "This server is a standby: migrate the primary."};
  }
  return {};
}

migration_result<void> runner::lock() {
  const std::string attempt = "SELECT pg_try_advisory_lock(" + std::string{runner_lock} + ")";
  const auto end = steady_clock::now() + options_.runner_wait;
  for (bool is_first = true;; is_first = false) {
    const auto granted = connection_.query(attempt);
    if (granted.has_error()) return describe(granted.error(), "The lock of migrations could not be taken");
    if (granted->values[0][0] == "t") {
      is_locked_ = true;
      return {};
    }
    if (steady_clock::now() >= end) {
      return migration_error{migration_errc::busy, "Another migration is still running after " +
                                                       std::to_string(options_.runner_wait.count()) +
                                                       " ms: look for it in pg_stat_activity."};
    }
    if (is_first) report(step::waiting, 0, "waiting: another migration is running");
    std::this_thread::sleep_for(options_.runner_poll);
  }
}

void runner::unlock() {
  if (!is_locked_ || !connection_.is_open()) return;
  // A failure means the connection is lost, and the lock with it.
  static_cast<void>(connection_.query("SELECT pg_advisory_unlock(" + std::string{runner_lock} + ")"));
}

migration_result<void> runner::prepare() {
  const auto server = check_server();
  if (server.has_error()) return server.error();
  const auto settings = connection_.run("SET search_path = public, pg_temp; SET statement_timeout = 0");
  if (settings.has_error()) return describe(settings.error(), "The session could not be prepared");
  const auto granted = lock();
  if (granted.has_error()) return granted.error();
  // Asked first, because CREATE TABLE IF NOT EXISTS needs the right to create even when it would not.
  const auto ledger = connection_.query("SELECT to_regclass('public.schema_migrations') IS NULL");
  if (ledger.has_error()) return describe(ledger.error(), "The ledger could not be looked up");
  if (ledger->values[0][0] == "f") return {};
  const auto created = connection_.run(create_ledger);
  if (created.has_error()) return describe(created.error(), "The ledger could not be created");
  return {};
}

db::result<void> runner::record(const migration_task& job, ledger_state state,
                                steady_clock::time_point begin) {
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
  const std::array<db::text_value, 7> values{
      std::to_string(job.what->version), std::string{job.what->name},  sha256_hex(job.what->up),
      sha256_hex(job.what->down),        std::to_string(took.count()), std::string{options_.app_version},
      std::string{to_string(state)}};
  const auto written =
      job.is_up || state != ledger_state::applied
          ? connection_.query(write_row, values)
          : connection_.query("DELETE FROM public.schema_migrations WHERE version = $1", {values[0]});
  if (written.has_error()) return written.error();
  if (!job.is_up && state == ledger_state::applied) return forget_progress(job);
  return {};
}

/// A backfill that was taken back begins anew the next time.
db::result<void> runner::forget_progress(const migration_task& job) {
  const auto exists = connection_.query("SELECT to_regclass('public.schema_backfills') IS NOT NULL");
  if (exists.has_error()) return exists.error();
  if (exists->values[0][0] == "f") return {};
  const auto gone = connection_.query("DELETE FROM public.schema_backfills WHERE name = $1", {job.name()});
  if (gone.has_error()) return gone.error();
  return {};
}

db::result<void> runner::configure(const migration_task& job, std::string_view scope) {
  std::string script =
      "SET " + std::string{scope} + "lock_timeout = " + std::to_string(job.how.lock_timeout.count());
  if (!job.how.role.empty()) {
    script += "; SET " + std::string{scope} + "ROLE " + db::quote_identifier(job.how.role);
  }
  return connection_.run(script);
}

/// File, ledger row and verification commit together or not at all.
db::result<void> runner::run_in_transaction(const migration_task& job) {
  const auto begin = steady_clock::now();
  auto done = connection_.run("BEGIN");
  if (done.has_value()) done = configure(job, "LOCAL ");
  if (done.has_value()) done = connection_.run(job.script());
  if (done.has_value()) done = record(job, ledger_state::applied, begin);
  if (done.has_value() && job.is_up) done = connection_.run("SET TRANSACTION READ ONLY");
  if (done.has_value() && job.is_up) done = connection_.run(std::string{job.what->verify});
  if (done.has_value()) done = connection_.run("COMMIT");
  if (done.has_error() && connection_.is_open()) static_cast<void>(connection_.run("ROLLBACK"));
  return done;
}

/// CREATE INDEX CONCURRENTLY that was interrupted leaves an INVALID index, which IF NOT EXISTS would take
/// for the real one (PostgreSQL, CREATE INDEX, "Building Indexes Concurrently").
db::result<void> runner::drop_invalid_leftovers(std::string_view script) {
  const auto found = connection_.query(
      "SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid"
      " WHERE NOT i.indisvalid AND c.relkind = 'i' AND c.relnamespace = 'public'::regnamespace");
  if (found.has_error()) return found.error();
  for (const db::text_row& row : found->values) {
    if (!mentions(script, row[0].value_or(""))) continue;
    auto dropped =
        connection_.run("DROP INDEX CONCURRENTLY public." + db::quote_identifier(row[0].value_or("")));
    if (dropped.has_error()) return dropped;
  }
  return {};
}

/// The script, or the script for every partition of `how.each`. What an interrupted run did is found done:
/// such scripts say IF [NOT] EXISTS.
db::result<std::vector<std::string>> runner::scripts_of(const migration_task& job) {
  if (job.how.each.empty()) return std::vector<std::string>{job.script()};
  const auto found = connection_.query(
      "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
      " WHERE i.inhparent = to_regclass('public.' || quote_ident($1)) ORDER BY 1",
      {job.how.each});
  if (found.has_error()) return found.error();
  constexpr std::string_view mark = "{partition}";
  std::vector<std::string> scripts;
  for (const db::text_row& row : found->values) {
    std::string script = job.script();
    for (std::size_t at = script.find(mark); at != std::string::npos; at = script.find(mark, at))
      script.replace(at, mark.size(), row[0].value_or(""));
    scripts.push_back(std::move(script));
  }
  return scripts;
}

db::result<void> runner::run_alone_marked(const migration_task& job, steady_clock::time_point begin) {
  auto done = configure(job, "");
  const auto scripts = scripts_of(job);
  if (scripts.has_error()) return scripts.error();
  for (const std::string& script : *scripts) {
    if (done.has_value() && job.is_up) done = drop_invalid_leftovers(script);
    if (done.has_value()) done = connection_.run(script);
  }
  if (!connection_.is_open()) return done;
  auto reset = connection_.run("RESET ROLE; RESET lock_timeout");
  if (done.has_error()) return done;
  if (reset.has_error()) return reset;
  if (job.is_up) {
    done = connection_.run("BEGIN READ ONLY; " + std::string{job.what->verify} + "; COMMIT");
    if (done.has_error()) {
      if (connection_.is_open()) static_cast<void>(connection_.run("ROLLBACK"));
      return done;
    }
  }
  return record(job, ledger_state::applied, begin);
}

/// A file that PostgreSQL refuses inside a transaction: the ledger says "running" before and "failed" when
/// it stopped half-way.
db::result<void> runner::run_alone(const migration_task& job) {
  const auto begin = steady_clock::now();
  auto marked = record(job, ledger_state::running, begin);
  if (marked.has_error()) return marked;
  auto done = run_alone_marked(job, begin);
  if (done.has_error() && connection_.is_open()) {
    static_cast<void>(record(job, ledger_state::failed, begin));
  }
  return done;
}

/// Doubles from `retry_first` to `retry_limit`; half of it is jitter, so that runners and writers do not
/// meet again and again.
void runner::pause(int tries) {
  const milliseconds longest =
      std::min(options_.retry_limit, options_.retry_first * (1 << std::min(tries, 16)));
  std::uniform_int_distribution<milliseconds::rep> jitter{longest.count() / 2, longest.count()};
  std::this_thread::sleep_for(milliseconds{jitter(random_)});
}

/// What takes something away waits for the servers that may use it.
migration_result<void> runner::check_gate(const migration_task& job) {
  if (job.how.phase != migration_phase::contract || options_.allow_contract) return {};
  return check_instances(connection_, job.what->version, job.name(),
                         job.is_up ? endangered::older : endangered::newer);
}

migration_result<void> runner::run_by_key(const migration_task& job) {
  const auto begin = steady_clock::now();
  const auto failed = [&](const db::error& failure) {
    return describe(failure, "The ledger row of " + job.name() + " could not be written");
  };
  auto noted = record(job, ledger_state::running, begin);
  if (noted.has_error()) return failed(noted.error());
  backfill_listener listener;
  listener.on_rows = [&](const row_progress& at) {
    if (options_.on_progress) options_.on_progress({step::advanced, job.what->version, plain_line(at), at});
  };
  listener.on_pause = [&](std::string line) { report(step::paused, job.what->version, std::move(line)); };
  const backfill what{.name = job.name(), .script = job.what->up, .how = job.how};
  const auto filled = run_backfill(connection_, what, options_.pace, listener);
  if (filled.has_error()) return filled.error();
  auto holds = connection_.run("BEGIN READ ONLY; " + std::string{job.what->verify} + "; COMMIT");
  if (holds.has_error()) {
    if (connection_.is_open()) static_cast<void>(connection_.run("ROLLBACK"));
    return describe(holds.error(), "Backfill " + job.name() + " ended, but its verification failed");
  }
  noted = record(job, ledger_state::applied, begin);
  if (noted.has_error()) return failed(noted.error());
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
  report(step::done, job.what->version,
         "applied " + job.name() + " in " + std::to_string(took.count()) + " ms");
  return {};
}

migration_result<void> runner::run(const migration_task& job) {
  const int version = job.what->version;
  const auto open = check_gate(job);
  if (open.has_error()) return open.error();
  const std::string verb = job.is_up ? "applying " : "reverting ";
  report(step::begun, version, verb + job.name() + " (" + std::string{to_string(job.how.phase)} + ")");
  if (job.is_up && job.how.is_keyset()) return run_by_key(job);
  const auto begin = steady_clock::now();
  for (int tries = 0;; ++tries) {
    const auto done = job.how.is_transactional ? run_in_transaction(job) : run_alone(job);
    if (done.has_value()) break;
    if (!is_about_locks(done.error()) || !connection_.is_open()) {
      return describe(done.error(), "Migration " + job.name() + " failed");
    }
    if (tries >= job.how.retries) {
      return migration_error{migration_errc::locked, "Migration " + job.name() +
                                                         " did not get its locks in " +
                                                         std::to_string(tries + 1) +
                                                         " tries: find the long transaction in "
                                                         "pg_stat_activity, then run the command again."};
    }
    report(step::retrying, version, job.name() + ": a table is locked, trying again");
    pause(tries);
  }
  const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
  report(step::done, version,
         (job.is_up ? "applied " : "reverted ") + job.name() + " in " + std::to_string(took.count()) + " ms");
  return {};
}

migration_result<void> runner::verify(const migrations::migration& what) {
  const auto done = connection_.run("BEGIN READ ONLY; " + std::string{what.verify} + "; COMMIT");
  if (done.has_error()) {
    if (connection_.is_open()) static_cast<void>(connection_.run("ROLLBACK"));
    return describe(done.error(), "The verification of " + display_name(what) + " failed");
  }
  report(step::verified, what.version, "verified " + display_name(what));
  return {};
}

}  // namespace pam::cli::detail
