#include "server/cli/check/gather.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <utility>

#include "db/admin_connection.hpp"
#include "server/auth/statements.hpp"
#include "server/cli/migrate.hpp"

namespace pam::cli::check {

namespace {

constexpr const char* name_of_ours = "pam-auth check";

double to_number(const db::text_value& value) {
  return value ? std::strtod(value->c_str(), nullptr) : 0;
}
std::int64_t to_whole(const db::text_value& value) {
  return value ? std::strtoll(value->c_str(), nullptr, 10) : 0;
}
bool is_true(const db::text_value& value) {
  return value == "t";
}

/// Asks one thing after the other and keeps why it got no answer.
class questioner {
 public:
  questioner(db::admin_connection& server, std::vector<std::string>& unanswered)
      : server_(server), unanswered_(unanswered) {}

  /// No rows when there was no answer.
  std::vector<db::text_row> rows(const std::string& what, const std::string& sql,
                                 std::initializer_list<db::text_value> values = {}) {
    auto got = server_.query(sql, values);
    if (got.has_value()) return std::move(got->values);
    unanswered_.push_back(what + ": " + got.error().detail);
    return {};
  }
  db::text_value value(const std::string& what, const std::string& sql,
                       std::initializer_list<db::text_value> values = {}) {
    const auto got = rows(what, sql, values);
    return got.empty() ? db::text_value{} : got.front().at(0);
  }
  setting_map settings() {
    setting_map found;
    for (const auto& row : rows("settings", "SELECT name, setting FROM pg_catalog.pg_settings")) {
      found.emplace(row.at(0).value_or(""), row.at(1).value_or(""));
    }
    return found;
  }

 private:
  db::admin_connection& server_;
  std::vector<std::string>& unanswered_;
};

bool is_local(const std::string& host) {
  return host.starts_with('/') || host == "localhost" || host.starts_with("127.") || host == "::1";
}

own_facts own_of(const runtime::configuration& settings, unsigned processes) {
  own_facts own;
  own.pools = runtime::pool_shape_of(settings, processes);
  own.queue = runtime::queue_shape_of(settings);
  own.client_limit = settings.limits.connections;
  own.statements = auth::statement_catalogue().size();
  own.request_limit = settings.limits.request;
  own.user = settings.database.user;
  own.database = settings.database.database;
  own.sslmode = settings.database.sslmode;
  own.is_local = std::ranges::all_of(settings.database.hosts, is_local, &db::endpoint::host);
  own.shares_port = settings.listen.reuse_port;
  return own;
}

// ---- PostgreSQL, directly ----

void gather_clock(questioner& ask, postgres_facts& found) {
  using seconds = std::chrono::duration<double>;
  const auto before = std::chrono::system_clock::now().time_since_epoch();
  const auto theirs = ask.value("the clock", "SELECT extract(epoch FROM clock_timestamp())");
  const auto after = std::chrono::system_clock::now().time_since_epoch();
  if (!theirs) return;
  // Read at some moment in between: what the way took must not look like skew.
  const double value = to_number(theirs);
  if (value < seconds{before}.count()) found.clock_skew_seconds = value - seconds{before}.count();
  if (value > seconds{after}.count()) found.clock_skew_seconds = value - seconds{after}.count();
}

void gather_replication(questioner& ask, postgres_facts& found) {
  const std::string here =
      "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn() ELSE pg_current_wal_lsn() END";
  for (const auto& row : ask.rows(
           "replicas", "SELECT application_name, state, extract(epoch FROM replay_lag), pg_wal_lsn_diff(" +
                           here + ", replay_lsn)::bigint FROM pg_catalog.pg_stat_replication ORDER BY 1")) {
    found.replicas.push_back(
        {row.at(0).value_or(""), row.at(1).value_or(""), to_number(row.at(2)), to_whole(row.at(3))});
  }
  for (const auto& row :
       ask.rows("replication slots", "SELECT slot_name, active, wal_status, pg_wal_lsn_diff(" + here +
                                         ", restart_lsn)::bigint"
                                         " FROM pg_catalog.pg_replication_slots ORDER BY 1")) {
    found.slots.push_back(
        {row.at(0).value_or(""), is_true(row.at(1)), row.at(2).value_or(""), to_whole(row.at(3))});
  }
}

void gather_schema(questioner& ask, postgres_facts& found) {
  found.has_schema = is_true(ask.value("tables",
                                       "SELECT to_regclass('public.accounts') IS NOT NULL AND"
                                       " to_regproc('public.partition_state') IS NOT NULL"));
  if (!found.has_schema) return;
  for (const auto& row :
       ask.rows("partitions",
                "SELECT parent, span, has_current, ahead, is_detach_pending FROM public.partition_state()")) {
    found.partitions.push_back({row.at(0).value_or(""), row.at(1).value_or(""), is_true(row.at(2)),
                                static_cast<int>(to_whole(row.at(3))), is_true(row.at(4))});
  }
}

postgres_facts gather_postgres(const runtime::configuration& settings) {
  postgres_facts found;
  db::admin_settings where = migration_endpoint(settings);
  where.application_name = name_of_ours;
  auto server = db::admin_connection::connect(where);
  if (server.has_error()) {
    found.unreachable = server.error().detail;
    return found;
  }
  questioner ask{*server, found.unanswered};
  found.version = server->server_version();
  found.settings = ask.settings();
  found.is_standby = is_true(ask.value("its role", "SELECT pg_is_in_recovery()"));
  gather_clock(ask, found);
  for (const auto& row : ask.rows("extensions", "SELECT extname FROM pg_catalog.pg_extension")) {
    found.extensions.push_back(row.at(0).value_or(""));
  }
  // PgBouncer's connections are those of our role: they are part of its pool.
  found.connections = static_cast<std::uint64_t>(to_whole(
      ask.value("connections",
                "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'"
                " AND pid <> pg_backend_pid() AND usename IS DISTINCT FROM $1",
                {settings.database.user})));
  gather_replication(ask, found);
  gather_schema(ask, found);
  for (const auto& row : ask.rows("indexes",
                                  "SELECT indexrelid::regclass::text FROM pg_catalog.pg_index"
                                  " WHERE NOT indisvalid ORDER BY 1")) {
    found.invalid_indexes.push_back(row.at(0).value_or(""));
  }
  found.oldest_transaction_age =
      to_whole(ask.value("its age", "SELECT max(age(datfrozenxid)) FROM pg_catalog.pg_database"));
  return found;
}

// ---- the route of the server that serves ----

db::admin_settings route_to(const runtime::configuration& settings, const db::endpoint& where) {
  db::admin_settings route;
  route.host = where.host;
  route.port = where.port;
  route.database = settings.database.database;
  route.user = settings.database.user;
  route.password = settings.database.password;
  route.sslmode = settings.database.sslmode;
  route.sslrootcert = settings.database.sslrootcert;
  route.application_name = name_of_ours;
  return route;
}

/// @param reached  the host that let us in
route_facts gather_route(const runtime::configuration& settings, db::endpoint& reached) {
  route_facts found;
  found.unreachable = "database.hosts is empty";
  for (const db::endpoint& where : settings.database.hosts) {
    auto server = db::admin_connection::connect(route_to(settings, where));
    // A pooler lets us in before it knows whether the server does.
    auto facts = server.has_value() ? server->query(
                                          "SELECT pg_backend_pid(), pg_is_in_recovery() OR"
                                          " current_setting('transaction_read_only') = 'on', r.rolsuper"
                                          " FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user")
                                    : db::result<db::text_rows>{server.error()};
    if (facts.has_error() || facts->empty()) {
      found.unreachable = where.host + " port " + std::to_string(where.port) + ": " +
                          (facts.has_error() ? facts.error().detail : "the role is unknown");
      continue;
    }
    reached = where;
    found.unreachable.clear();
    const db::text_row& row = facts->values.front();
    found.is_direct = to_whole(row.at(0)) == server->backend_pid();
    found.is_read_only = is_true(row.at(1));
    found.is_superuser = is_true(row.at(2));
    found.is_tls = server->is_encrypted();
    std::vector<std::string> unanswered;
    found.settings = questioner{*server, unanswered}.settings();
    if (!unanswered.empty()) found.unreachable = unanswered.front();
    break;
  }
  return found;
}

// ---- PgBouncer's console ----

/// The rows of a SHOW command as maps of its columns; NULLs are left out.
std::vector<setting_map> shown_by(db::admin_connection& console, const std::string& command,
                                  pooler_facts& found) {
  std::vector<setting_map> rows;
  const auto table = console.command(command);
  if (table.has_error()) {
    found.refused = command + ": " + table.error().detail;
    return rows;
  }
  for (const db::text_row& row : table->values) {
    setting_map& one = rows.emplace_back();
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (row[i]) one.emplace(table->columns[i], *row[i]);
    }
  }
  return rows;
}

std::string member(const setting_map& row, std::string_view name) {
  const auto at = row.find(name);
  return at == row.end() ? std::string{} : at->second;
}

pooler_facts gather_pooler(const runtime::configuration& settings, const db::endpoint& where) {
  pooler_facts found;
  db::admin_settings route = route_to(settings, where);
  route.database = settings.database.admin_database;
  auto console = db::admin_connection::connect(route);
  if (console.has_error()) {
    found.refused = console.error().detail;
    return found;
  }
  constexpr std::string_view brand = "PgBouncer ";
  const auto versions = shown_by(*console, "SHOW VERSION", found);
  const std::string version = versions.empty() ? std::string{} : member(versions.front(), "version");
  if (!version.starts_with(brand)) {
    if (found.refused.empty()) found.refused = "it is no PgBouncer: " + version;
    return found;
  }
  for (const setting_map& row : shown_by(*console, "SHOW CONFIG", found)) {
    found.settings.emplace(member(row, "key"), member(row, "value"));
  }
  for (const setting_map& row : shown_by(*console, "SHOW DATABASES", found)) {
    if (member(row, "name") == settings.database.database) found.entry = row;
  }
  for (const setting_map& row : shown_by(*console, "SHOW CLIENTS", found)) {
    const std::string database = member(row, "database");
    const std::string name = member(row, "application_name");
    if (database == settings.database.admin_database || name == name_of_ours) continue;
    const std::string who = (name.empty() ? "a client without a name" : name) + " at " + member(row, "addr") +
                            ":" + member(row, "port");
    found.clients.push_back(who);
    const bool is_ours = name.starts_with("pam-auth") || name == settings.database.application_name;
    const bool is_our_pair =
        database == settings.database.database && member(row, "user") == settings.database.user;
    if (is_our_pair && !is_ours) found.strangers.push_back(who);
  }
  if (found.refused.empty()) found.version = version.substr(brand.size());
  return found;
}

}  // namespace

db::admin_settings pooled_route(const runtime::configuration& settings) {
  return route_to(settings,
                  settings.database.hosts.empty() ? db::endpoint{} : settings.database.hosts.front());
}

facts gather(const runtime::configuration& settings, unsigned processes) {
  facts found;
  found.today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  found.own = own_of(settings, processes);
  db::endpoint reached;
  found.route = gather_route(settings, reached);
  if (found.route.unreachable.empty() && !found.route.is_direct)
    found.pooler = gather_pooler(settings, reached);
  found.postgres = gather_postgres(settings);
  found.host = gather_host(settings);
  return found;
}

}  // namespace pam::cli::check
