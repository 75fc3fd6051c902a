#include "bench/schema/fill.hpp"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <stdexcept>

#include <fmt/format.h>

#include "server/cli/migration_runner.hpp"
#include "server/cli/progress_line.hpp"

namespace pam::bench {

db::admin_connection open(const db::admin_settings& where, const std::string& database) {
  db::admin_settings settings = where;
  settings.database = database;
  auto connection = db::admin_connection::connect(settings);
  if (connection.has_error()) throw std::runtime_error(connection.error().detail);
  return std::move(*connection);
}

void run(db::admin_connection& on, const std::string& script) {
  if (const auto done = on.run(script); done.has_error()) throw std::runtime_error(done.error().detail);
}

namespace {

constexpr std::int64_t step = 500'000;

double number(db::admin_connection& on, const std::string& query) {
  const auto found = on.query(query);
  if (found.has_error()) throw std::runtime_error(found.error().detail);
  return std::stod(found->values.at(0).at(0).value_or("0"));
}

/// The database with its schema, unless an earlier run made it.
void make(const db::admin_settings& where, const filled& how) {
  auto outside = open(where, "postgres");
  if (number(outside, "SELECT count(*) FROM pg_database WHERE datname = '" + how.database + "'") == 0)
    run(outside, "CREATE DATABASE " + how.database + " TEMPLATE template0");
  auto on = open(where, how.database);
  if (number(on, "SELECT count(*) FROM pg_class WHERE relname = 'bench_fill'") > 0) return;
  if (const auto done = cli::migrate_up(on, {}); done.has_error())
    throw std::runtime_error(done.error().sentence);
  run(on,
      "BEGIN; SELECT make_partition('sessions', now() - make_interval(months => n)) FROM generate_series(1, "
      "4) n;"
      "CREATE TABLE bench_fill (done bigint PRIMARY KEY, day timestamptz NOT NULL, is_vacuumed boolean NOT "
      "NULL);"
      "INSERT INTO bench_fill VALUES (0, date_trunc('day', now()), false); COMMIT");
}

}  // namespace

bool fill(const db::admin_settings& where, const filled& how, std::chrono::seconds budget) {
  const auto begin = std::chrono::steady_clock::now();
  make(where, how);
  auto on = open(where, how.database);
  const auto before = static_cast<std::int64_t>(number(on, "SELECT done FROM bench_fill"));
  // The rows refer to each other by construction; checking each foreign key would double the time.
  run(on, "SET synchronous_commit = off; SET session_replication_role = replica");
  const bool is_terminal = ::isatty(STDERR_FILENO) != 0;
  for (std::int64_t from = before; from < how.sessions; from += step) {
    if (std::chrono::steady_clock::now() - begin > budget) {
      run(on, "CHECKPOINT");  // leaves nothing to be written while others measure
      return false;
    }
    const std::int64_t to = std::min(how.sessions, from + step) - 1;
    run(on,
        fmt::format(
            "BEGIN; INSERT INTO accounts (id, email) SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), "
            "12, '0'))::uuid, 'u' || n || '@example.com' FROM generate_series({}, {}) n ON CONFLICT DO "
            "NOTHING;"
            "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, "
            "created_at, refreshed_at) SELECT (substr(uuid7_floor(m)::text, 1, 14) || '7000-8000-' || "
            "lpad(to_hex(n), 12, '0'))::uuid, ('00000000-0000-7000-8000-' || lpad(to_hex(n / 4), 12, "
            "'0'))::uuid, decode(repeat('5a', 32), 'hex'), now() + interval '30 days', now() + interval '90 "
            "days', m, m FROM (SELECT n, date_trunc('day', (SELECT day FROM bench_fill)) - (n % 100) * "
            "interval '1 day' AS m FROM generate_series({}, {}) n) AS s;"
            "UPDATE bench_fill SET done = {}; COMMIT",
            from / 4, to / 4, from, to, to + 1));
    const auto taken = std::chrono::steady_clock::now() - begin;
    const cli::row_progress at{.name = how.database,
                               .done = to + 1,
                               .estimated = how.sessions,
                               .done_before = before,
                               .taken = std::chrono::duration_cast<std::chrono::milliseconds>(taken)};
    std::cerr << (is_terminal ? cli::terminal_line(at) : cli::plain_line(at) + "\n") << std::flush;
  }
  if (is_terminal) std::cerr << '\n';
  if (number(on, "SELECT count(*) FROM bench_fill WHERE is_vacuumed") > 0) return true;
  run(on, "VACUUM (ANALYZE) accounts");
  run(on, "VACUUM (ANALYZE) sessions");
  run(on, "UPDATE bench_fill SET is_vacuumed = true");
  run(on, "CHECKPOINT");
  return true;
}

void drop(const db::admin_settings& where, const filled& how) {
  auto outside = open(where, "postgres");
  run(outside, "DROP DATABASE IF EXISTS " + how.database + " WITH (FORCE)");
}

counters count(const db::admin_settings& where, const filled& how) {
  auto on = open(where, how.database);
  counters seen;
  seen.wal_bytes = number(on, "SELECT wal_bytes FROM pg_stat_wal");
  seen.full_page_images = number(on, "SELECT wal_fpi FROM pg_stat_wal");
  seen.updates = number(on, "SELECT sum(n_tup_upd) FROM pg_stat_user_tables");
  seen.hot_updates = number(on, "SELECT sum(n_tup_hot_upd) FROM pg_stat_user_tables");
  seen.inserts = number(on, "SELECT sum(n_tup_ins) FROM pg_stat_user_tables");
  return seen;
}

}  // namespace pam::bench
