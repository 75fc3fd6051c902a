#include "server/cli/maintain_command.hpp"

#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "server/cli/command.hpp"
#include "server/cli/end_signals.hpp"
#include "server/cli/migrate.hpp"
#include "server/runtime/config_values.hpp"

namespace pam::cli {
namespace {

int one_round(const runtime::configuration& settings, const maintain_request& wanted, std::ostream& out,
              std::ostream& err) {
  db::admin_settings endpoint = migration_endpoint(settings);
  endpoint.application_name = "pam-auth maintain";
  auto leader = db::admin_connection::connect(endpoint);
  auto worker = db::admin_connection::connect(endpoint);
  if (leader.has_error() || worker.has_error()) {
    err << "PostgreSQL at " << endpoint.host << " port " << endpoint.port
        << " did not let us in: " << (leader.has_error() ? leader.error() : worker.error()).detail << '\n';
    return failure;
  }
  const auto leads = lead(*leader);
  if (leads.has_error()) {
    err << leads.error().sentence << '\n';
    return failure;
  }
  if (!*leads) {
    out << "another process maintains this database" << std::endl;
    return success;
  }
  maintenance_options options = maintenance_of(settings);
  options.is_dry_run = wanted.is_dry_run;
  const auto failed = maintain(*worker, options, [&](const step_report& done) {
    (done.outcome == step_outcome::failed ? err : out)
        << done.line << (wanted.is_dry_run ? "" : " [" + std::to_string(done.taken.count()) + " ms]")
        << std::endl;
  });
  resign(*leader);
  if (failed.has_error()) {
    err << failed.error().sentence << '\n';
    return failure;
  }
  out << "maintained, " << *failed << " failures" << std::endl;
  return *failed == 0 ? success : failure;
}

}  // namespace

maintenance_options maintenance_of(const runtime::configuration& settings) {
  const auto& wanted = settings.maintain;
  maintenance_options options;
  // A session of the partition's last moment lives for the absolute lifetime.
  options.keep = {{"sessions", std::max(wanted.keep_sessions,
                                        settings.tokens.absolute_lifetime + std::chrono::seconds{86'400})},
                  {"auth_events", wanted.keep_events},
                  {"one_time_tokens", wanted.keep_tokens},
                  {"flow_states", wanted.keep_flows},
                  {"outbox", wanted.keep_outbox}};
  options.report_interval = wanted.report_interval;
  options.bloat_percent = static_cast<int>(wanted.bloat_percent);
  options.bloat_bytes = static_cast<std::int64_t>(wanted.bloat_bytes);
  options.step_limit = wanted.step_limit;
  return options;
}

int run_maintain(const runtime::configuration& settings, const maintain_request& wanted, std::ostream& out,
                 std::ostream& err) {
  if (wanted.every.count() == 0) return one_round(settings, wanted, out, err);
  hold_end_signals();
  int status = success;
  do {
    status = one_round(settings, wanted, out, err);
  } while (!end_signal_came(wanted.every));
  return status;
}

void add_maintain_command(CLI::App& app, command_context& context) {
  struct arguments {
    std::string config;
    std::string every;
    bool is_dry_run = false;
  };
  auto* command =
      app.add_subcommand("maintain", "Make partitions ahead, drop old ones, tidy up, refresh reports");
  const auto given = std::make_shared<arguments>();
  command->add_option("--config", given->config, "TOML file")->required()->envname("PAM_CONFIG");
  command->add_option("--every", given->every,
                      "Go on, a round after each pause such as 5m; one process leads");
  command->add_flag("--dry-run", given->is_dry_run, "Say what would be done and why; change nothing");
  command->callback([&context, given] {
    maintain_request wanted{.every = {}, .is_dry_run = given->is_dry_run};
    if (!given->every.empty()) {
      const auto every = runtime::parse_duration(given->every);
      if (!every || every->count() <= 0) {
        context.err << "--every must be a duration such as 5m, not " << runtime::quoted_short(given->every)
                    << "\n";
        context.status = usage;
        return;
      }
      wanted.every = std::chrono::floor<std::chrono::milliseconds>(*every);
    }
    const auto settings = runtime::load_config(given->config, context.variables);
    if (!settings) {
      context.err << runtime::to_string(settings.error());
      context.status = failure;
      return;
    }
    context.status = run_maintain(*settings, wanted, context.out, context.err);
  });
}

}  // namespace pam::cli
