#include "bench/database/world.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "bench/database/shell.hpp"
#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"

namespace pam::bench {

namespace {

constexpr int filled_partitions = 5;
constexpr std::string_view token_hex = "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";

std::string id_text(std::int64_t number) {
  return fmt::format("{:0>32}", number);
}

void require_durable(db::admin_connection& on) {
  for (const char* setting : {"fsync", "synchronous_commit", "full_page_writes"}) {
    if (value(on, fmt::format("SHOW {}", setting)) != "on") {
      throw std::runtime_error(fmt::format("{} is not on: nothing here would be durable", setting));
    }
  }
}

const db::statement& find_in_catalogue(std::string_view part) {
  for (const db::statement* one : auth::statement_catalogue()) {
    if (one->sql.find(part) != std::string_view::npos) return *one;
  }
  throw std::runtime_error(fmt::format("no statement of the catalogue contains '{}'", part));
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

template <std::size_t Parameters>
std::unique_ptr<db::statement> copy_with(const std::string& sql, const db::statement& of,
                                         db::statement::options opts) {
  if (of.parameter_count != Parameters) throw std::runtime_error("the statement's parameters have changed");
  std::array<db::pg_type, Parameters> types{};
  for (std::size_t i = 0; i < Parameters; ++i) types[i] = of.parameter_types[i];
  return std::make_unique<db::statement>(sql.c_str(), types, opts);
}

// The same for several callers, compared with the generation in the same way.
void add_form_for_several(hot_statement& to, const db::statement& of) {
  const std::string from = "sessions.generation IS NOT DISTINCT FROM k.p5";
  to.several_sql = of.sql;
  if (to.several_sql.find(from) == std::string::npos) throw std::runtime_error("the text has changed");
  replace_all(to.several_sql, from, "sessions.generation >= k.p5");
  to.several = copy_with<7>(to.several_sql, of, of.opts);
}

// What pgbench cannot send as a parameter stands in its script as a literal, which saves the reference
// work; to turn its numbers into ids costs it about half a microsecond each.
std::string script_of(std::string sql, std::span<const std::string> values) {
  for (std::size_t i = values.size(); i-- > 0;) replace_all(sql, fmt::format("${}", i + 1), values[i]);
  return "\\set n random(0, :sessions - 1)\n\\set a :n / 2\n" + sql + ";\n";
}

const std::string account_expression = "lpad(:a::text, 32, '0')::uuid";
const std::string session_expression = "lpad(:n::text, 32, '0')::uuid";

db::params refresh_parameters(std::int64_t session) {
  static constexpr auto token = [] {
    std::array<std::byte, 32> bytes{};
    bytes.fill(std::byte{0x5a});
    return bytes;
  }();
  const auto now = std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
  db::params values;
  values.add(id_of(account_of(session))).add(id_of(session));
  values.add(std::span<const std::byte>{token}).add(std::span<const std::byte>{token});
  values.add(std::int32_t{0}).add(db::timestamp{now + std::chrono::days{30}}).add(db::timestamp{now});
  return values;
}

db::params bearer_parameters(std::int64_t session) {
  db::params values;
  values.add(id_of(account_of(session))).add(id_of(session));
  return values;
}

db::params pgbench_parameters(std::int64_t row) {
  db::params values;
  values.add(static_cast<std::int32_t>(row + 1));
  return values;
}

void fill(db::admin_connection& on, const plan& how) {
  // No foreign keys are checked while filling: what is filled is consistent.
  run(on, "SET session_replication_role = replica");
  run(on, fmt::format("INSERT INTO accounts (id, email, hashed_password, metadata, app_metadata,"
                      " email_confirmed_at) SELECT lpad(n::text, 32, '0')::uuid,"
                      " 'user' || n || '@example.org', repeat('x', 96), '{{\"name\": \"Somebody\"}}',"
                      " '{{\"provider\": \"email\"}}', now() FROM generate_series(0, {}) n",
                      account_of(how.sessions)));
  run(on, fmt::format("INSERT INTO identities (account_id, id, provider, provider_id, identity_data, email)"
                      " SELECT id, id, 'email', id::text, jsonb_build_object('email', email), email"
                      " FROM accounts"));
  run(on, fmt::format("INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at,"
                      " created_at, refreshed_at, ip, user_agent) SELECT lpad(n::text, 32, '0')::uuid,"
                      " lpad((n / 2)::text, 32, '0')::uuid, decode('{}', 'hex'), now() + interval '30 days',"
                      " now() + interval '90 days', now(), now(), '192.0.2.1',"
                      " 'Mozilla/5.0 (X11; Linux x86_64) benchmark' FROM generate_series(0, {}) n",
                      token_hex, how.sessions - 1));
}

}  // namespace

boost::uuids::uuid id_of(std::int64_t number) {
  boost::uuids::uuid id{};
  for (std::size_t digit = 0; number != 0; ++digit, number /= 10) {
    const auto value = static_cast<unsigned>(number % 10);
    auto& byte = id.data[15 - digit / 2];
    byte = static_cast<std::uint8_t>(byte | (digit % 2 == 0 ? value : value << 4U));
  }
  return id;
}

hot_statement refresh_statement() {
  const db::statement& rotate = find_in_catalogue("generation = sessions.generation + 1");
  hot_statement hot;
  hot.sql = rotate.sql;
  replace_all(hot.sql, "sessions.generation = $5", "sessions.generation >= $5");
  const std::string token = fmt::format("decode('{}', 'hex')", token_hex);
  const std::array<std::string, 7> values{account_expression,
                                          session_expression,
                                          token,
                                          token,
                                          "0",
                                          "(statement_timestamp() + interval '30 days')",
                                          "statement_timestamp()"};
  hot.pgbench_script = script_of(hot.sql, values);
  db::statement::options opts = rotate.opts;
  if (opts.together != nullptr) add_form_for_several(hot, *opts.together);
  opts.together = hot.several.get();
  hot.what = copy_with<7>(hot.sql, rotate, opts);
  hot.parameters = refresh_parameters;
  return hot;
}

hot_statement bearer_statement() {
  const db::statement& bearer = find_in_catalogue("SELECT s.id IS NOT NULL");
  hot_statement hot;
  hot.sql = bearer.sql;
  const std::array<std::string, 2> values{account_expression, session_expression};
  hot.pgbench_script = script_of(hot.sql, values);
  hot.what = copy_with<2>(hot.sql, bearer, bearer.opts);
  hot.parameters = bearer_parameters;
  return hot;
}

hot_statement pgbench_statement() {
  hot_statement hot;
  hot.sql = "SELECT abalance FROM pgbench_accounts WHERE aid = $1";
  hot.what = std::make_unique<db::statement>(hot.sql.c_str(), db::types(db::pg_type::int4),
                                             db::statement::options{.summary = "pgbench"});
  hot.parameters = pgbench_parameters;
  return hot;
}

db::admin_connection connect(const plan& how, const std::string& database) {
  db::admin_settings settings;
  settings.host = how.socket_dir;
  settings.port = how.postgres_port;
  settings.user = how.superuser;
  settings.database = database;
  auto opened = db::admin_connection::connect(settings);
  if (opened.has_error()) throw std::runtime_error(opened.error().detail);
  return std::move(*opened);
}

void run(db::admin_connection& on, const std::string& script) {
  if (auto done = on.run(script); done.has_error()) throw std::runtime_error(done.error().detail);
}

std::string value(db::admin_connection& on, const std::string& sql) {
  auto got = on.query(sql);
  if (got.has_error()) throw std::runtime_error(sql + ": " + got.error().detail);
  return got->values.at(0).at(0).value_or("");
}

void create_world(const plan& how) {
  drop_world(how);
  auto root = connect(how, "postgres");
  require_durable(root);
  run(root, "CREATE DATABASE " + how.database);
  auto on = connect(how, how.database);
  if (auto migrated = cli::migrate_up(on, {}); migrated.has_error()) {
    throw std::runtime_error(migrated.error().sentence);
  }
  run(on, fmt::format("CREATE ROLE {0} LOGIN IN ROLE pam_app; ALTER ROLE {0} SET lock_timeout = '100ms';"
                      "ALTER ROLE {0} SET statement_timeout = '2s'; ALTER ROLE {0} SET jit = off;"
                      "ALTER ROLE {0} SET plan_cache_mode = force_custom_plan",
                      custom_planning_role));
  // The product is a month old: what is filled are its past partitions.
  run(on, "DROP TABLE " + value(on,
                                "SELECT min(inhrelid::regclass::text) FROM pg_inherits"
                                " WHERE inhparent = 'sessions'::regclass"));
  const std::int64_t size = (how.sessions + filled_partitions - 1) / filled_partitions;
  for (int p = 0; p < filled_partitions; ++p) {
    run(on, fmt::format("CREATE TABLE sessions_past_{0} PARTITION OF sessions FOR VALUES FROM ('{1}')"
                        " TO ('{2}') WITH (fillfactor = 70)",
                        p, id_text(size * p), id_text(size * (p + 1))));
  }
  fill(on, how);
  run(on, "VACUUM ANALYZE");
  run(on, "CHECKPOINT");
}

std::int64_t kept_sessions(const plan& how) {
  auto root = connect(how, "postgres");
  require_durable(root);
  if (value(root, "SELECT count(*) FROM pg_database WHERE datname = '" + how.database + "'") != "1") {
    throw std::runtime_error("no earlier run left its data there: run with --keep-data first");
  }
  auto on = connect(how, how.database);
  // Sessions are numbered from 0 and their ids are these numbers, see `id_of`.
  return std::stoll(value(on, "SELECT replace(max(id::text), '-', '') FROM sessions")) + 1;
}

std::int64_t make_pgbench_tables(const plan& how) {
  constexpr int rows_of_a_scale = 100'000;
  auto on = connect(how, how.database);
  if (value(on, "SELECT to_regclass('pgbench_accounts') IS NULL") == "t") {
    constexpr int scale = 10;
    const std::string command =
        fmt::format("'{}/pgbench' -i -q -s {} -h '{}' -p {} -U '{}' '{}' >/dev/null 2>&1", how.pg_bin, scale,
                    how.socket_dir, how.postgres_port, how.superuser, how.database);
    run_command(command);
    run(on, "GRANT SELECT ON pgbench_accounts, pgbench_branches TO PUBLIC");
  }
  return rows_of_a_scale * std::stoll(value(on, "SELECT count(*) FROM pgbench_branches"));
}

void drop_world(const plan& how) {
  auto root = connect(how, "postgres");
  run(root, "DROP DATABASE IF EXISTS " + how.database + " WITH (FORCE)");
  run(root, fmt::format("DROP ROLE IF EXISTS {}", custom_planning_role));
}

checkpoint_in_the_middle::checkpoint_in_the_middle(const plan& how) {
  if (!how.has_checkpoint) return;
  done_ = std::async(std::launch::async, [how] {
    std::this_thread::sleep_for(std::chrono::milliseconds{how.seconds * 500});
    auto on = connect(how, how.database);
    run(on, "CHECKPOINT");
  });
}

void checkpoint_in_the_middle::finish() {
  if (done_.valid()) done_.get();
}

}  // namespace pam::bench
