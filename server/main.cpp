// Parses the command line and runs what it names.
#include <cstdint>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>

#include "server/cli/command.hpp"
#include "server/cli/migrate.hpp"
#include "server/net/tls_buffers.hpp"
#include "server/runtime/dev.hpp"
#include "server/runtime/serve.hpp"

namespace {

using pam::cli::command_context;

/// Where `--config` comes from when it is not given.
void add_config_option(CLI::App& command, std::string& file) {
  command.add_option("--config", file, "Configuration file (TOML)")->envname("PAM_CONFIG")->required();
}

void add_serve_command(CLI::App& app, command_context& context) {
  CLI::App* serve =
      app.add_subcommand("serve", "Serve until SIGTERM; SIGHUP reloads configuration, keys and certificates");
  const auto takes_over = std::make_shared<bool>(false);
  serve->add_flag("--take-over", *takes_over,
                  "Replace the server at server.control_socket, if one is there, without losing a request");
  const auto file = std::make_shared<std::string>();
  add_config_option(*serve, *file);
  serve->callback([&context, file, takes_over] {
    context.status = pam::runtime::run_serve(*file, *takes_over, context.variables, context.err);
  });
}

void add_dev_command(CLI::App& app, command_context& context) {
  CLI::App* dev =
      app.add_subcommand("dev", "Serve for development, with a PostgreSQL and PgBouncer of its own");
  const auto options = std::make_shared<pam::runtime::dev_options>();
  dev->add_option("--port", options->port, "HTTPS port on loopback; 0: any free one")->capture_default_str();
  dev->add_option("--data", options->data, "Folder that keeps the data")->capture_default_str();
  dev->add_flag("--ephemeral", options->is_ephemeral, "Keep nothing: data in a temporary folder");
  dev->add_option("--ready-file", options->ready_file,
                  "Write ports and process ids here, as JSON, when ready");
  dev->callback([&context, options] {
    context.status = pam::runtime::run_dev(*options, context.variables, context.out, context.err);
  });
}

template <class Run>
void add_migrate_step(CLI::App& migrate, command_context& context, const char* name, const char* help,
                      Run run) {
  CLI::App* step = migrate.add_subcommand(name, help);
  const auto file = std::make_shared<std::string>();
  add_config_option(*step, *file);
  const auto target = std::make_shared<int>(0);
  const auto options = std::make_shared<pam::cli::migration_options>();
  if (std::string_view{name} == "down") {
    step->add_option("--to", *target, "Version to go back to; 0: nothing is left")->required();
  } else if (std::string_view{name} == "up" || std::string_view{name} == "plan") {
    step->add_option("--to", options->target, "Stop after this version; default: the newest");
  }
  if (std::string_view{name} == "up" || std::string_view{name} == "down") {
    step->add_flag("--allow-contract", options->allow_contract,
                   "No server that needs what is taken away runs any more, whatever the heartbeats say");
  }
  if (std::string_view{name} == "up" || std::string_view{name} == "backfill") {
    step->add_option("--duty", options->pace.duty, "Share of the time a backfill works, 0.01 to 1")
        ->check(CLI::Range(0.01, 1.0))
        ->capture_default_str();
    step->add_option("--lag-limit", options->pace.lag_limit_bytes,
                     "Pause a backfill while a replica has more bytes of WAL than this to replay")
        ->capture_default_str();
  }
  step->callback([&context, file, target, options, run] {
    auto settings = pam::runtime::load_config(*file, context.variables);
    if (settings.has_error()) {
      context.err << pam::runtime::to_string(settings.error());
      context.status = pam::cli::failure;
      return;
    }
    context.status = run(*settings, *target, *options, context);
  });
}

void add_migrate_command(CLI::App& app, command_context& context) {
  using pam::runtime::configuration;
  using options = pam::cli::migration_options;
  CLI::App* migrate = app.add_subcommand("migrate", "Bring the database's schema up to date, or look at it");
  migrate->require_subcommand(1);
  add_migrate_step(*migrate, context, "up", "Apply what is pending",
                   [](const configuration& settings, int, const options& how, command_context& to) {
                     return pam::cli::run_migrate_up(settings, to.out, to.err, how);
                   });
  add_migrate_step(*migrate, context, "status", "Show what is applied and what is pending",
                   [](const configuration& settings, int, const options&, command_context& to) {
                     return pam::cli::run_migrate_status(settings, to.out, to.err);
                   });
  add_migrate_step(*migrate, context, "plan", "Show locks, rows and expected time of every pending statement",
                   [](const configuration& settings, int, const options& how, command_context& to) {
                     return pam::cli::run_migrate_plan(settings, to.out, to.err, how);
                   });
  add_migrate_step(*migrate, context, "backfill", "Run the backfills that are due, in gentle batches",
                   [](const configuration& settings, int, const options& how, command_context& to) {
                     return pam::cli::run_migrate_backfill(settings, to.out, to.err, how);
                   });
  add_migrate_step(*migrate, context, "verify",
                   "Check the facts every applied migration promises, then the whole database",
                   [](const configuration& settings, int, const options&, command_context& to) {
                     return pam::cli::run_migrate_verify(settings, to.out, to.err);
                   });
  add_migrate_step(*migrate, context, "down", "Take migrations back; their data is lost",
                   [](const configuration& settings, int target, const options& how, command_context& to) {
                     return pam::cli::run_migrate_down(settings, target, to.out, to.err, how);
                   });
}

}  // namespace

int main(int argc, char** argv) {
  pam::net::keep_tls_buffers();
  CLI::App app{"PAM Auth: the account and session server of the PAM platform", "pam-auth"};
  app.require_subcommand(1);
  const pam::runtime::environment variables = pam::runtime::process_environment();
  command_context context{std::cout, std::cerr, variables};
  add_serve_command(app, context);
  add_dev_command(app, context);
  add_migrate_command(app, context);
  pam::cli::add_account_command(app, context);
  pam::cli::add_audit_command(app, context);
  pam::cli::add_check_command(app, context);
  pam::cli::add_client_command(app, context);
  pam::cli::add_config_command(app, context);
  pam::cli::add_keys_command(app, context);
  pam::cli::add_maintain_command(app, context);
  pam::cli::add_token_command(app, context);
  pam::cli::add_version_command(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? pam::cli::success : pam::cli::usage;
  } catch (const std::exception& failure) {
    // Starting is the one place where exceptions are errors: no memory, no threads, no temporary folder.
    std::cerr << "pam-auth: " << failure.what() << '\n';
    return pam::cli::failure;
  }
  return context.status;
}
