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

namespace {

constexpr std::int64_t step = 500'000;

double number(db::admin_connection& on, const std::string& query) {
  const auto found = on.query(query);
  if (found.has_error()) throw std::runtime_error(found.error().detail);
  return std::stod(found->values.at(0).at(0).value_or("0"));
}

}  // namespace

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

void fill(const db::admin_settings& where, const filled& how) {
  auto outside = open(where, "postgres");
  run(outside, "DROP DATABASE IF EXISTS " + how.database);
  run(outside, "CREATE DATABASE " + how.database + " TEMPLATE template0");
  auto on = open(where, how.database);
  if (const auto done = cli::migrate_up(on, {}); done.has_error())
    throw std::runtime_error(done.error().sentence);
  run(on,
      "SET synchronous_commit = off; SELECT make_partition('sessions', now() - make_interval(months => n)) "
      "FROM "
      "generate_series(1, 4) n");
  const auto begin = std::chrono::steady_clock::now();
  const bool is_terminal = ::isatty(STDERR_FILENO) != 0;
  for (std::int64_t from = 0; from < how.sessions; from += step) {
    const std::int64_t to = std::min(how.sessions, from + step) - 1;
    run(on,
        fmt::format(
            "INSERT INTO accounts (id, email) SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, "
            "'0'))::uuid, 'u' || n || '@example.com' FROM generate_series({}, {}) n ON CONFLICT DO NOTHING",
            from / 4, to / 4));
    run(on,
        fmt::format(
            "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, "
            "created_at, refreshed_at) SELECT (substr(uuid7_floor(m)::text, 1, 14) || '7000-8000-' || "
            "lpad(to_hex(n), 12, '0'))::uuid, ('00000000-0000-7000-8000-' || lpad(to_hex(n / 4), 12, "
            "'0'))::uuid, decode(repeat('5a', 32), 'hex'), now() + interval '30 days', now() + interval '90 "
            "days', m, m FROM (SELECT n, date_trunc('day', now()) - (n % 100) * interval '1 day' AS m FROM "
            "generate_series({}, {}) n) AS s",
            from, to));
    const auto taken = std::chrono::steady_clock::now() - begin;
    const cli::row_progress at{.name = how.database,
                               .done = to + 1,
                               .estimated = how.sessions,
                               .taken = std::chrono::duration_cast<std::chrono::milliseconds>(taken)};
    std::cerr << (is_terminal ? cli::terminal_line(at) : cli::plain_line(at) + "\n") << std::flush;
  }
  if (is_terminal) std::cerr << '\n';
  run(on, "VACUUM (ANALYZE) accounts");
  run(on, "VACUUM (ANALYZE) sessions");
  run(on, "CHECKPOINT");
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
