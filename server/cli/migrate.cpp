#include "server/cli/migrate.hpp"

#include <iomanip>
#include <ostream>

#include "server/cli/migration_directives.hpp"

namespace pam::cli {

namespace {

constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_pending = 2;

int refuse(const migration_error& failure, std::ostream& err) {
  err << failure.sentence << '\n';
  return exit_failed;
}

migration_result<db::admin_connection> connect(const runtime::configuration& settings) {
  const db::admin_settings endpoint = migration_endpoint(settings);
  auto connection = db::admin_connection::connect(endpoint);
  if (connection.has_value()) return std::move(*connection);
  return migration_error{migration_errc::connection,
                         "PostgreSQL at " + endpoint.host + " port " + std::to_string(endpoint.port) +
                             " did not let us in as " + endpoint.user + ": " + connection.error().detail};
}

/// Connects, runs `work` with progress lines on `out`, and says how it ended.
template <class Work>
int run_command(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                migration_options& options, Work work) {
  auto connection = connect(settings);
  if (connection.has_error()) return refuse(connection.error(), err);
  options.on_progress = [&out](const migration_progress& event) { out << event.line << std::endl; };
  const migration_result<migration_report> done = work(*connection, options);
  if (done.has_error()) return refuse(done.error(), err);
  out << "schema at migration " << done->to;
  if (done->count == 0) out << ", nothing to do";
  out << '\n';
  return exit_done;
}

void print_row(std::ostream& out, std::string_view name, std::string_view state, std::string_view rest) {
  out << std::left << std::setw(28) << name << std::setw(10) << state << rest << '\n';
}

void print_history(std::ostream& out, std::span<const ledger_row> ledger) {
  for (const ledger_row& row : ledger) {
    print_row(out, display_name(row.version, row.name), to_string(row.state),
              row.applied_at + " UTC  " + std::to_string(row.duration_ms) + " ms  by " + row.app_version);
  }
}

}  // namespace

db::admin_settings migration_endpoint(const runtime::configuration& settings) {
  db::admin_settings endpoint;
  endpoint.host = settings.migrate.host;
  if (endpoint.host.empty() && !settings.database.hosts.empty())
    endpoint.host = settings.database.hosts[0].host;
  if (endpoint.host.empty()) endpoint.host = "localhost";
  endpoint.port = settings.migrate.port;
  endpoint.database = settings.migrate.database;
  endpoint.user = settings.migrate.user;
  endpoint.password = settings.migrate.password;
  endpoint.sslmode = settings.database.sslmode;
  endpoint.sslrootcert = settings.database.sslrootcert;
  endpoint.application_name = "pam-auth migrate";
  return endpoint;
}

int run_migrate_up(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                   migration_options options) {
  return run_command(settings, out, err, options, migrate_up);
}

int run_migrate_down(const runtime::configuration& settings, int target, std::ostream& out, std::ostream& err,
                     migration_options options) {
  return run_command(settings, out, err, options,
                     [target](db::admin_connection& connection, const migration_options& how) {
                       return migrate_down(connection, target, how);
                     });
}

int run_migrate_verify(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                       migration_options options) {
  return run_command(settings, out, err, options, migrate_verify);
}

int run_migrate_status(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                       const migration_options& options) {
  auto connection = connect(settings);
  if (connection.has_error()) return refuse(connection.error(), err);
  const auto ledger = read_ledger(*connection);
  if (ledger.has_error()) return refuse(ledger.error(), err);
  print_history(out, *ledger);
  const auto plan = judge(options.known, *ledger);
  if (plan.has_error()) return refuse(plan.error(), err);
  for (const migrations::migration& what : options.known.subspan(plan->first)) {
    const auto how = parse_directives(what.up, display_name(what) + ".up.sql");
    if (how.has_error()) return refuse(how.error(), err);
    print_row(out, display_name(what), "pending", to_string(how->phase));
  }
  return plan->first == options.known.size() ? exit_done : exit_pending;
}

}  // namespace pam::cli
