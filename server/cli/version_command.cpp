#include "server/cli/version_command.hpp"

#include <ostream>

#include <openssl/crypto.h>
#include <sodium/version.h>
#include <CLI/CLI.hpp>
#include <boost/version.hpp>

#include "server/cli/command.hpp"

namespace pam::cli {

std::string_view version() {
  return PAM_VERSION;
}

int run_version(std::ostream& out) {
  // The libraries that are loaded, not those of the build: what an operator patches.
  out << "pam-auth " << version() << "\n"
      << "openssl " << OpenSSL_version(OPENSSL_VERSION_STRING) << "\n"
      << "libsodium " << sodium_version_string() << "\n"
      << "boost " << BOOST_VERSION / 100'000 << "." << BOOST_VERSION / 100 % 1'000 << "."
      << BOOST_VERSION % 100 << "\n"
      << "compiler " << __VERSION__ << "\n";
  return success;
}

void add_version_command(CLI::App& app, command_context& context) {
  app.add_subcommand("version", "Print the version and the libraries in use")->callback([&context] {
    context.status = run_version(context.out);
  });
}

}  // namespace pam::cli
