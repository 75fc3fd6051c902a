#include "server/cli/migrate.hpp"

#include <unistd.h>

#include <iomanip>
#include <iostream>
#include <ostream>

#include "server/cli/migration_directives.hpp"
#include "server/cli/migration_preview.hpp"
#include "server/cli/schema_invariants.hpp"

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

/// Progress for people: a bar that rewrites itself on a terminal, else a line every ten seconds.
class progress_printer {
 public:
  explicit progress_printer(std::ostream& out)
      : out_(out), is_terminal_(&out == &std::cout && ::isatty(STDOUT_FILENO) != 0) {}

  void print(const migration_progress& event) {
    if (event.what != migration_progress::step::advanced) {
      end_bar();
      out_ << event.line << std::endl;
    } else if (is_terminal_) {
      out_ << terminal_line(event.rows) << std::flush;
      has_bar_ = true;
    } else if (const auto now = std::chrono::steady_clock::now(); now >= next_line_) {
      out_ << event.line << std::endl;
      next_line_ = now + std::chrono::seconds{10};
    }
  }

 private:
  void end_bar() {
    if (has_bar_) out_ << '\n';
    has_bar_ = false;
  }

  std::ostream& out_;
  bool is_terminal_;
  bool has_bar_ = false;
  std::chrono::steady_clock::time_point next_line_{};
};

/// Connects, runs `work` with progress lines on `out`, and says how it ended.
template <class Work>
int run_command(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                migration_options& options, Work work) {
  auto connection = connect(settings);
  if (connection.has_error()) return refuse(connection.error(), err);
  progress_printer printer{out};
  options.on_progress = [&printer](const migration_progress& event) { printer.print(event); };
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

void print_preview(std::ostream& out, const previewed_migration& each) {
  out << each.name << "  " << to_string(each.how.phase) << ", "
      << (each.how.is_transactional ? "one transaction" : "no transaction") << ", waits at most "
      << each.how.lock_timeout.count() << " ms for a lock, " << each.how.retries + 1 << " tries\n";
  for (const previewed_statement& statement : each.statements) {
    out << "  " << std::left << std::setw(52) << statement.what.statement << " "
        << to_string(statement.what.lock);
    if (!statement.what.table.empty())
      out << " on " << statement.what.table << " (about " << statement.rows << " rows, "
          << statement.bytes / 1024 << " kB)";
    out << ", " << expected_time(statement) << '\n';
  }
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

int run_migrate_backfill(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                         migration_options options) {
  options.only_backfills = true;
  return run_command(settings, out, err, options, migrate_up);
}

int run_migrate_plan(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                     const migration_options& options) {
  auto connection = connect(settings);
  if (connection.has_error()) return refuse(connection.error(), err);
  const auto plan = migrate_plan(*connection, options);
  if (plan.has_error()) return refuse(plan.error(), err);
  for (const previewed_migration& each : *plan) print_preview(out, each);
  out << plan->size() << " pending\n";
  return exit_done;
}

int run_migrate_verify(const runtime::configuration& settings, std::ostream& out, std::ostream& err,
                       migration_options options) {
  const int verified = run_command(settings, out, err, options, migrate_verify);
  if (verified != exit_done) return verified;
  auto connection = connect(settings);
  if (connection.has_error()) return refuse(connection.error(), err);
  const auto findings = check_invariants(*connection);
  if (findings.has_error()) return refuse(findings.error(), err);
  int status = exit_done;
  for (const finding& each : *findings) {
    const bool is_broken = each.how_bad == severity::broken;
    if (is_broken) status = exit_failed;
    (is_broken ? err : out) << each.name << ": " << each.count << " " << each.sentence << " (for example "
                            << each.example << ").\n";
  }
  if (findings->empty()) out << "every invariant holds\n";
  return status;
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
