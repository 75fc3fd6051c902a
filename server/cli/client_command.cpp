#include "server/cli/client_command.hpp"

#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "server/auth/oauth_clients.hpp"
#include "server/cli/command.hpp"

namespace pam::cli {

int run_client(const std::string& id, std::ostream& out, std::ostream& err) {
  const crypto::secret secret = auth::new_client_secret();
  const std::string entry = auth::to_entry(id, secret);
  if (!auth::parse_oauth_client(entry)) {
    err << "the id must be 1 to 64 of the characters A-Z a-z 0-9 . _ -\n";
    return failure;
  }
  out << secret.view() << "\n";
  err << "add to oauth.clients: \"" << entry << "\"\n";
  return success;
}

void add_client_command(CLI::App& app, command_context& context) {
  auto* command =
      app.add_subcommand("client", "Make the secret of a resource server that introspects tokens");
  const auto id = std::make_shared<std::string>();
  command->add_option("id", *id, "Its client id")->required();
  command->callback([&context, id] { context.status = run_client(*id, context.out, context.err); });
}

}  // namespace pam::cli
