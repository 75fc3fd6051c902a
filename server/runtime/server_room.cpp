#include "server/runtime/server_room.hpp"

#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <utility>

#include "db/admin_connection.hpp"

namespace pam::runtime {

namespace {

using clock = std::chrono::steady_clock;

/// libpq waits two seconds at least; a second host is not asked after that.
constexpr std::chrono::milliseconds patience{2'000};

db::admin_settings way_to(const configuration& settings, const db::endpoint& where) {
  db::admin_settings way;
  way.host = where.host;
  way.port = where.port;
  way.database = where.database.empty() ? settings.database.database : where.database;
  way.user = settings.database.user;
  way.password = settings.database.password;
  way.sslmode = settings.database.sslmode;
  way.sslrootcert = settings.database.sslrootcert;
  way.application_name = settings.database.application_name;
  way.connect_timeout = patience;
  return way;
}

std::optional<std::uint64_t> to_number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> to_number(const db::text_value& value) {
  return value ? to_number(*value) : std::nullopt;
}

room_limit limit_of(std::string said, std::string setting, std::uint64_t grants, room_limit::use counts) {
  room_limit limit;
  limit.said = std::move(said) + " " + std::to_string(grants);
  limit.setting = std::move(setting);
  limit.grants = grants;
  limit.counts = counts;
  return limit;
}

// A limit of -1 is none. PostgreSQL before 16 reserves for superusers only.
constexpr const char* what_postgres_grants =
    "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('max_connections'),"
    " pg_catalog.current_setting('superuser_reserved_connections')::pg_catalog.int4"
    " + coalesce(pg_catalog.current_setting('reserved_connections', true), '0')::pg_catalog.int4,"
    " (SELECT rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = current_user),"
    " (SELECT datconnlimit FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";

void add_limits_of_postgres(const db::text_row& row, const configuration& settings, server_room& room) {
  const auto most = to_number(row.at(1));
  const auto reserved = to_number(row.at(2)).value_or(0);
  if (most) {
    room_limit limit;
    limit.grants = *most > reserved ? *most - reserved : 0;
    limit.reserved = reserved;
    limit.said = "PostgreSQL grants max_connections " + std::to_string(*most) + " - " +
                 std::to_string(reserved) + " reserved = " + std::to_string(limit.grants);
    limit.setting = "max_connections";
    limit.counts = room_limit::use::with_commands;
    room.limits.push_back(std::move(limit));
  }
  if (const auto of_role = to_number(row.at(3))) {
    room.limits.push_back(limit_of("the role " + settings.database.user + " has a CONNECTION LIMIT of",
                                   "it (ALTER ROLE)", *of_role, room_limit::use::pools));
  }
  if (const auto of_database = to_number(row.at(4))) {
    room.limits.push_back(limit_of("the database has a CONNECTION LIMIT of", "it (ALTER DATABASE)",
                                   *of_database, room_limit::use::with_commands));
  }
}

using shown = std::map<std::string, std::string, std::less<>>;

std::optional<std::uint64_t> number_in(const shown& all, std::string_view name) {
  const auto found = all.find(name);
  return found == all.end() ? std::nullopt : to_number(found->second);
}

/// "key" and "value" of SHOW CONFIG, and the line of SHOW DATABASES that is ours.
db::result<std::pair<shown, shown>> ask_console(const configuration& settings, const db::endpoint& where) {
  db::admin_settings way = way_to(settings, where);
  way.database = settings.database.admin_database;
  auto console = db::admin_connection::connect(way);
  if (console.has_error()) return console.error();
  const auto config = console->command("SHOW CONFIG");
  if (config.has_error()) return config.error();
  const auto databases = console->command("SHOW DATABASES");
  if (databases.has_error()) return databases.error();
  std::pair<shown, shown> all;
  for (const db::text_row& row : config->values) {
    if (row.size() >= 2 && row[0] && row[1]) all.first.emplace(*row[0], *row[1]);
  }
  const std::string& ours = where.database.empty() ? settings.database.database : where.database;
  for (const db::text_row& row : databases->values) {
    if (row.empty() || row[0] != ours) continue;
    for (std::size_t i = 0; i < row.size() && i < databases->columns.size(); ++i) {
      if (row[i]) all.second.emplace(databases->columns[i], *row[i]);
    }
  }
  return all;
}

void add_limits_of_pooler(const shown& config, const shown& entry, server_room& room) {
  using use = room_limit::use;
  if (const auto most = number_in(config, "max_client_conn")) {
    room.limits.push_back(
        limit_of("PgBouncer takes max_client_conn", "max_client_conn", *most, use::pooler_clients));
  }
  // Of newer ones; 0 is no limit.
  for (const char* name : {"max_user_client_connections", "max_db_client_connections"}) {
    const std::uint64_t most = number_in(config, name).value_or(0);
    if (most != 0)
      room.limits.push_back(limit_of(std::string{"PgBouncer takes "} + name, name, most, use::pools));
  }
  const auto in_entry = entry.find("pool_mode");
  const auto in_config = config.find("pool_mode");
  const bool is_session = in_entry != entry.end()     ? in_entry->second == "session"
                          : in_config != config.end() ? in_config->second == "session"
                                                      : false;
  const auto own_size = number_in(entry, "pool_size");
  const std::uint64_t size = own_size ? *own_size : number_in(config, "default_pool_size").value_or(0);
  if (size == 0) return;
  room_limit pool =
      limit_of(is_session ? "PgBouncer in session mode has a pool of" : "PgBouncer has a pool of",
               own_size ? "pool_size" : "default_pool_size", size, use::pools);
  // In transaction mode the others take turns.
  if (!is_session) pool.how = room_limit::beyond::waits;
  room.limits.push_back(std::move(pool));
}

}  // namespace

server_room ask_server_room(const configuration& settings) {
  server_room room;
  const auto give_up = clock::now() + patience;
  for (const db::endpoint& where : settings.database.hosts) {
    if (clock::now() >= give_up) break;
    auto server = db::admin_connection::connect(way_to(settings, where));
    const auto answer =
        server.has_value() ? server->query(what_postgres_grants) : db::result<db::text_rows>{server.error()};
    if (answer.has_error() || answer->empty()) {
      room.unknown = answer.has_error() ? answer.error().detail : "no answer";
      continue;
    }
    room.unknown.clear();
    const db::text_row& row = answer->values.front();
    if (to_number(row.at(0)) == static_cast<std::uint64_t>(server->backend_pid())) {
      add_limits_of_postgres(row, settings, room);
      return room;
    }
    const auto console = ask_console(settings, where);
    if (console.has_error()) {
      room.unknown = "the pooler's console does not answer (stats_users): " + console.error().detail;
    } else {
      add_limits_of_pooler(console->first, console->second, room);
    }
    return room;
  }
  return room;
}

}  // namespace pam::runtime
