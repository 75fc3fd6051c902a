#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

#include "server/runtime/config.hpp"

namespace CLI {
class App;
}

/// The operator's subcommands. Each is a plain function that takes everything it needs, writes results to
/// `out` and the one reason of a refusal to `err`, and returns the process's exit code; a function
/// `add_..._command` puts it on the command line. Blocking; no shard.
namespace pam::cli {

/// Exit codes of every subcommand.
enum exit_code : int {
  success = 0,
  failure = 1,  ///< refused, invalid or impossible; `err` says why
  usage = 2,    ///< the command line itself was wrong
};

/// What a subcommand on the command line runs with; `status` is the exit code of the one that ran.
/// Must outlive the parsing of the command line.
struct command_context {
  std::ostream& out;
  std::ostream& err;
  const runtime::environment& variables;
  int status = success;
};

/// Puts the subcommands of each group on `app`. The chosen one runs while the command line is parsed.
void add_account_command(CLI::App& app, command_context& context);
void add_audit_command(CLI::App& app, command_context& context);
void add_check_command(CLI::App& app, command_context& context);
void add_client_command(CLI::App& app, command_context& context);
void add_config_command(CLI::App& app, command_context& context);
void add_keys_command(CLI::App& app, command_context& context);
void add_maintain_command(CLI::App& app, command_context& context);
void add_token_command(CLI::App& app, command_context& context);
void add_version_command(CLI::App& app, command_context& context);

}  // namespace pam::cli
