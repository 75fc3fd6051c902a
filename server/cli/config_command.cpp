#include "server/cli/config_command.hpp"

#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "server/cli/command.hpp"
#include "server/runtime/pool_plan.hpp"

namespace pam::cli {

int run_config_default(std::ostream& out) {
  out << runtime::default_config();
  return success;
}

int run_config_reference(std::ostream& out) {
  out << runtime::config_reference_markdown();
  return success;
}

int run_config_check(const std::string& file, const runtime::environment& variables, std::ostream& out,
                     std::ostream& err) {
  const auto loaded = runtime::load_config(file, variables);
  if (!loaded) {
    err << runtime::to_string(loaded.error());
    return failure;
  }
  const auto missing = runtime::missing_for_serving(*loaded);
  if (!missing.empty()) {
    err << runtime::to_string(missing);
    return failure;
  }
  out << file << ": ok, profile " << loaded->server.profile << "\n";
  for (const std::string& each : runtime::departures_from_profile(*loaded)) {
    out << "departs from the profile: " << each << "\n";
  }
  out << runtime::pool_plan_text(runtime::pool_shape_of(*loaded));
  out << "hashing threads of each process: " << runtime::effective_hash_threads(*loaded) << "\n";
  return success;
}

int run_config_explain(const std::string& key, const std::string& file, const runtime::environment& variables,
                       std::ostream& out, std::ostream& err) {
  const runtime::explanation told = runtime::explain_config(key, file, variables);
  if (!told.is_known) {
    err << "pam-auth config explain: " << told.text;
    return usage;
  }
  out << told.text;
  if (told.findings.empty()) return success;
  err << "no value is in force, the configuration is refused:\n" << runtime::to_string(told.findings);
  return failure;
}

void add_config_command(CLI::App& app, command_context& context) {
  auto* group = app.add_subcommand("config", "Print, explain or check configuration");
  group->require_subcommand(0, 1);
  const auto print_default = std::make_shared<bool>(false);
  const auto checked_file = std::make_shared<std::string>();
  auto* as_flag = group->add_flag("--default", *print_default, "The same as `config default`");
  group->add_option("--check", *checked_file, "The same as `config check`")->excludes(as_flag);

  group->add_subcommand("default", "Print a file with every key and its default")->callback([&context] {
    context.status = run_config_default(context.out);
  });
  group->add_subcommand("reference", "Print the reference as Markdown")->callback([&context] {
    context.status = run_config_reference(context.out);
  });
  auto* check = group->add_subcommand("check", "Report every finding about a file and the environment");
  const auto file = std::make_shared<std::string>();
  check->add_option("file", *file, "TOML file")->required()->envname("PAM_CONFIG");
  check->callback([&context, file] {
    context.status = run_config_check(*file, context.variables, context.out, context.err);
  });
  auto* explain = group->add_subcommand("explain", "Tell everything about one key, and its value in force");
  const auto key = std::make_shared<std::string>();
  const auto explained_file = std::make_shared<std::string>();
  explain->add_option("key", *key, "section.key, or the name of its variable")->required();
  explain->add_option("--config", *explained_file, "Configuration file (TOML)")->envname("PAM_CONFIG");
  explain->callback([&context, key, explained_file] {
    context.status = run_config_explain(*key, *explained_file, context.variables, context.out, context.err);
  });
  group->callback([&context, group, print_default, checked_file] {
    if (!group->get_subcommands().empty()) return;
    if (*print_default) {
      context.status = run_config_default(context.out);
    } else if (!checked_file->empty()) {
      context.status = run_config_check(*checked_file, context.variables, context.out, context.err);
    } else {
      throw CLI::RequiredError("config needs default, explain KEY, check FILE or reference");
    }
  });
}

}  // namespace pam::cli
