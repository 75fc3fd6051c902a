#include "bench/durable_refresh/fixture.hpp"

#include <chrono>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "db/admin_connection.hpp"

namespace pam::bench {

namespace {

constexpr int filled_partitions = 5;
constexpr int partitions = filled_partitions + 3;  // three are always made ahead

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

std::string id_text(std::int64_t number) {
  return fmt::format("{:0>32}", number);
}

constexpr std::string_view tables = R"(
CREATE TABLE accounts (
  id uuid PRIMARY KEY, email varchar(255) UNIQUE, hashed_password varchar(255), metadata jsonb,
  banned_until timestamptz, deleted_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 90);
CREATE TABLE sessions (
  id uuid PRIMARY KEY, account_id uuid NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
  refresh_token bytea NOT NULL, generation int NOT NULL DEFAULT 0,
  expires_at timestamptz NOT NULL, absolute_expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(), refreshed_at timestamptz NOT NULL DEFAULT now(),
  repeats smallint NOT NULL DEFAULT 0, revoked_at timestamptz, revoke_reason smallint,
  aal smallint NOT NULL DEFAULT 1, amr jsonb, ip inet, user_agent text, client_id uuid,
  UNIQUE (account_id, id)
) PARTITION BY RANGE (id);
)";

void require_durable(db::admin_connection& on) {
  for (const char* setting : {"fsync", "synchronous_commit", "full_page_writes"}) {
    const auto value = on.query(fmt::format("SHOW {}", setting));
    if (value.has_error() || value->values.at(0).at(0) != "on") {
      throw std::runtime_error(fmt::format("{} is not on: nothing here would be durable", setting));
    }
  }
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

void create_schema(const plan& how) {
  drop_schema(how);
  auto root = connect(how, "postgres");
  require_durable(root);
  run(root, "CREATE DATABASE " + how.database);
  run(root, fmt::format("CREATE ROLE {} LOGIN SUPERUSER", how.pooled_user));
  run(root, fmt::format("ALTER ROLE {} SET plan_cache_mode = force_custom_plan", how.pooled_user));
  run(root, fmt::format("ALTER DATABASE {} SET plan_cache_mode = force_generic_plan", how.database));
  auto on = connect(how, how.database);
  run(on, std::string{tables});
  const std::int64_t size = (how.sessions + filled_partitions - 1) / filled_partitions;
  for (int p = 0; p < partitions; ++p) {
    run(on, fmt::format("CREATE TABLE sessions_{0} PARTITION OF sessions FOR VALUES FROM ('{1}') TO ('{2}')"
                        " WITH (fillfactor = 70)",
                        p, id_text(size * p), id_text(size * (p + 1))));
  }
  run(on, fmt::format("INSERT INTO accounts (id, email, hashed_password)"
                      " SELECT lpad(n::text, 32, '0')::uuid, 'user' || n || '@example.org', repeat('x', 96)"
                      " FROM generate_series(0, {}) n",
                      account_of(how.sessions)));
  run(on, fmt::format("INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at,"
                      " ip, user_agent) SELECT lpad(n::text, 32, '0')::uuid,"
                      " lpad((n / 2)::text, 32, '0')::uuid, decode(repeat('5a', 32), 'hex'),"
                      " now() + interval '30 days', now() + interval '90 days', '192.0.2.1',"
                      " 'Mozilla/5.0 (X11; Linux x86_64) benchmark' FROM generate_series(0, {}) n",
                      how.sessions - 1));
  run(on, "VACUUM ANALYZE");
  run(on, "CHECKPOINT");
}

void drop_schema(const plan& how) {
  auto root = connect(how, "postgres");
  run(root, "DROP DATABASE IF EXISTS " + how.database + " WITH (FORCE)");
  run(root, "DROP ROLE IF EXISTS " + how.pooled_user);
}

checkpoint_in_the_middle::checkpoint_in_the_middle(const plan& how) {
  if (!how.has_checkpoint) return;
  worker_ = std::jthread{[how] {
    std::this_thread::sleep_for(std::chrono::milliseconds{how.seconds * 500});
    auto on = connect(how, how.database);
    static_cast<void>(on.run("CHECKPOINT"));
  }};
}

}  // namespace pam::bench
