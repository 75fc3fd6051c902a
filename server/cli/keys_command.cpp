#include "server/cli/keys_command.hpp"

#include <array>
#include <map>
#include <memory>
#include <ostream>

#include <fcntl.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "server/cli/command.hpp"
#include "server/cli/private_file.hpp"
#include "server/crypto/secret.hpp"

namespace pam::cli {
namespace {

bool exists(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace

int run_keys_generate(const std::string& file, crypto::algorithm signing, bool force, std::ostream& out,
                      std::ostream& err) {
  // Asked before the keys are made for the better message; link(2) decides.
  if (!force && exists(file)) {
    err << file << " exists; its keys keep users signed in. --force replaces it and ends every session\n";
    return failure;
  }
  auto keys = crypto::key_ring::generate(signing);
  if (!keys) {
    err << "cannot generate keys: " << keys.error().detail << "\n";
    return failure;
  }
  const auto written = write_private_file(file, *keys, force ? if_exists::replace : if_exists::refuse);
  crypto::wipe(keys->data(), keys->size());
  if (!written) {
    err << written.error().message << "\n";
    return failure;
  }
  out << "wrote " << file << "; keep a copy where the database's backups are not\n";
  return success;
}

void add_keys_command(CLI::App& app, command_context& context) {
  struct arguments {
    std::string file;
    crypto::algorithm signing = crypto::algorithm::es256;
    bool force = false;
  };
  static const std::map<std::string, crypto::algorithm> algorithms{{"es256", crypto::algorithm::es256},
                                                                   {"rs256", crypto::algorithm::rs256},
                                                                   {"eddsa", crypto::algorithm::eddsa},
                                                                   {"hs256", crypto::algorithm::hs256}};
  auto* group = app.add_subcommand("keys", "Signing and refresh keys");
  group->require_subcommand(1);
  auto* generate = group->add_subcommand("generate", "Write a new key file");
  const auto given = std::make_shared<arguments>();
  generate->add_option("file", given->file, "File to write, mode 0600")->required();
  generate
      ->add_option("--algorithm", given->signing, "Algorithm of access tokens: es256, rs256, eddsa or hs256")
      ->transform(CLI::CheckedTransformer(algorithms, CLI::ignore_case));
  generate->add_flag("--force", given->force, "Replace an existing file; ends every session");
  generate->callback([&context, given] {
    context.status = run_keys_generate(given->file, given->signing, given->force, context.out, context.err);
  });
}

}  // namespace pam::cli
