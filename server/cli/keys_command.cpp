#include "server/cli/keys_command.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include "protocol/objects.hpp"
#include "server/cli/command.hpp"
#include "server/cli/private_file.hpp"
#include "server/crypto/key_file_text.hpp"
#include "server/crypto/sealing.hpp"
#include "server/crypto/secret.hpp"
#include "server/runtime/config_values.hpp"

namespace pam::cli {
namespace {

using crypto::key_set;
using crypto::sealer;
using crypto::secret;

bool exists(const std::string& path) {
  return ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

std::chrono::sys_seconds clock_seconds() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string moment(std::int64_t seconds) {
  return protocol::to_rfc3339(protocol::timestamp{std::chrono::seconds{seconds}});
}

/// A key file, opened for a change.
struct opened_file {
  key_set keys;
  std::optional<sealer> under;  ///< what it was sealed with
};

crypto::result<sealer> load_sealer(const encryption_key& from) {
  return from.file.empty() ? crypto::sealer_from_command(from.command) : sealer::load(from.file);
}

std::optional<opened_file> open_file(const std::string& file, const encryption_key& under,
                                     std::ostream& err) {
  std::optional<sealer> opener;
  if (!under.file.empty() || !under.command.empty()) {
    auto loaded = load_sealer(under);
    if (loaded.has_error()) {
      err << "cannot use the key-encryption key: " << loaded.error().detail << "\n";
      return std::nullopt;
    }
    opener.emplace(std::move(*loaded));
  }
  const auto raw = crypto::read_key_text(file, opener ? &*opener : nullptr);
  if (raw.has_error()) {
    err << raw.error().detail << "\n";
    return std::nullopt;
  }
  auto keys = key_set::parse(raw->view());
  if (keys.has_error()) {
    err << file << ": " << keys.error().detail << "\n";
    return std::nullopt;
  }
  return opened_file{std::move(*keys), std::move(opener)};
}

/// Replaces the file; sealed when a key-encryption key was given.
bool save(const std::string& file, const opened_file& what, std::ostream& err) {
  secret text = what.keys.text();
  if (what.under) text = crypto::seal_key_text(*what.under, text.view());
  const auto written = write_private_file(file, text.view(), if_exists::replace);
  if (!written) err << written.error().message << "\n";
  return written.has_value();
}

int write_new(const std::string& file, std::string_view text, bool force, std::ostream& out,
              std::ostream& err) {
  const auto written = write_private_file(file, text, force ? if_exists::replace : if_exists::refuse);
  if (!written) {
    err << written.error().message << "\n";
    return failure;
  }
  out << "wrote " << file << "; keep a copy where the database's backups are not\n";
  return success;
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
  const int status = write_new(file, *keys, force, out, err);
  crypto::wipe(keys->data(), keys->size());
  return status;
}

int run_keys_list(const std::string& file, const encryption_key& under, std::chrono::sys_seconds now,
                  std::ostream& out, std::ostream& err) {
  auto opened = open_file(file, under, err);
  if (!opened) return failure;
  opened->keys.settle(now);
  for (const crypto::key_facts& each : opened->keys.facts()) {
    out << each.use << "\t" << each.state << "\t" << each.algorithm << "\t"
        << (each.kid.empty() ? "(thumbprint)" : each.kid);
    if (each.state == "next" && each.signs_from) out << "\tsigns from " << moment(*each.signs_from);
    if (each.state == "current" && each.signs_from) out << "\tsigns since " << moment(*each.signs_from);
    if (each.state == "previous" && each.retired) out << "\tretired " << moment(*each.retired);
    out << "\n";
  }
  return success;
}

int run_keys_rotate(const std::string& file, const encryption_key& under, const crypto::rotation& how,
                    std::ostream& out, std::ostream& err) {
  auto opened = open_file(file, under, err);
  if (!opened) return failure;
  const auto made = opened->keys.rotate(how);
  if (made.has_error()) {
    err << "cannot rotate: " << made.error().detail << "\n";
    return failure;
  }
  if (!save(file, *opened, err)) return failure;
  for (const std::string& kid : *made) out << "added " << kid << "\n";
  if (made->empty()) {
    out << "nothing to rotate: a next key is waiting already, or the current ones are young enough\n";
  } else {
    out << "send SIGHUP to every process before " << moment((how.now + how.lead).time_since_epoch().count())
        << ": then they begin to sign\n";
  }
  return success;
}

int run_keys_prune(const std::string& file, const encryption_key& under, std::chrono::sys_seconds now,
                   const crypto::retention& keep, std::ostream& out, std::ostream& err) {
  auto opened = open_file(file, under, err);
  if (!opened) return failure;
  const auto gone = opened->keys.prune(now, keep);
  if (!save(file, *opened, err)) return failure;
  for (const std::string& kid : gone) out << "removed " << kid << "\n";
  if (gone.empty()) out << "nothing to remove\n";
  return success;
}

int run_keys_seal(const std::string& file, const encryption_key& under, std::ostream& out,
                  std::ostream& err) {
  auto opened = open_file(file, under, err);
  if (!opened) return failure;
  if (!opened->under) {
    err << "sealing needs --encryption-key or --encryption-key-command\n";
    return failure;
  }
  if (!save(file, *opened, err)) return failure;
  out << "sealed " << file << "; processes need keys.encryption_key_file or keys.encryption_key_command\n";
  return success;
}

int run_keys_unseal(const std::string& file, const encryption_key& under, std::ostream& out,
                    std::ostream& err) {
  auto opened = open_file(file, under, err);
  if (!opened) return failure;
  opened->under.reset();
  if (!save(file, *opened, err)) return failure;
  out << file << " is in the clear now\n";
  return success;
}

int run_keys_generate_encryption_key(const std::string& file, std::ostream& out, std::ostream& err) {
  if (exists(file)) {
    err << file << " exists; what was sealed under it can be opened with nothing else\n";
    return failure;
  }
  const secret text = sealer::generate();
  return write_new(file, text.view(), false, out, err);
}

namespace {

struct arguments {
  std::string file;
  encryption_key under;
  crypto::algorithm signing = crypto::algorithm::es256;
  bool force = false;
  std::vector<std::string> uses;
  std::string lead = "20m";
  std::string min_age = "0s";
  std::string idle_lifetime = "30d";
};

/// Reads `--name value` as a duration; nullopt, and the usage said, when it is none.
std::optional<std::chrono::seconds> seconds_of(const std::string& name, const std::string& text,
                                               command_context& context) {
  const auto value = runtime::parse_duration(text);
  if (value) return std::chrono::ceil<std::chrono::seconds>(*value);
  context.err << name << " must be a duration such as 20m or 30d, not " << runtime::quoted_short(text)
              << "\n";
  context.status = usage;
  return std::nullopt;
}

CLI::App* add_file_command(CLI::App& group, const std::string& name, const std::string& meaning,
                           const std::shared_ptr<arguments>& given) {
  CLI::App* command = group.add_subcommand(name, meaning);
  command->add_option("file", given->file, "The key file")->required();
  auto* key = command->add_option("--encryption-key", given->under.file,
                                  "Key-encryption key the file is sealed under");
  command->add_option("--encryption-key-command", given->under.command, "Command that prints it, instead")
      ->excludes(key);
  return command;
}

void add_generate(CLI::App& group, command_context& context) {
  static const std::map<std::string, crypto::algorithm> algorithms{{"es256", crypto::algorithm::es256},
                                                                   {"rs256", crypto::algorithm::rs256},
                                                                   {"eddsa", crypto::algorithm::eddsa},
                                                                   {"hs256", crypto::algorithm::hs256}};
  auto* generate = group.add_subcommand("generate", "Write a new key file");
  const auto given = std::make_shared<arguments>();
  generate->add_option("file", given->file, "File to write, mode 0600")->required();
  generate
      ->add_option("--algorithm", given->signing, "Algorithm of access tokens: es256, rs256, eddsa or hs256")
      ->transform(CLI::CheckedTransformer(algorithms, CLI::ignore_case));
  generate->add_flag("--force", given->force, "Replace an existing file; ends every session");
  generate->callback([&context, given] {
    context.status = run_keys_generate(given->file, given->signing, given->force, context.out, context.err);
  });
  auto* key = group.add_subcommand("generate-encryption-key", "Write a new key-encryption key");
  const auto wanted = std::make_shared<arguments>();
  key->add_option("file", wanted->file, "File to write, mode 0600")->required();
  key->callback([&context, wanted] {
    context.status = run_keys_generate_encryption_key(wanted->file, context.out, context.err);
  });
}

void add_rotate(CLI::App& group, command_context& context) {
  const auto given = std::make_shared<arguments>();
  auto* rotate = add_file_command(group, "rotate", "Add keys that begin to sign a while from now", given);
  rotate->add_option("--use", given->uses, "Which keys: user, machine, refresh; all of them by default")
      ->check(CLI::IsMember({"user", "machine", "refresh"}));
  rotate
      ->add_option("--lead", given->lead,
                   "From now to the first signature: every process must reload within it")
      ->capture_default_str();
  rotate
      ->add_option("--min-age", given->min_age,
                   "Leave alone keys that have signed for less than this (30d in a daily job)")
      ->capture_default_str();
  rotate->callback([&context, given] {
    const auto lead = seconds_of("--lead", given->lead, context);
    const auto min_age = seconds_of("--min-age", given->min_age, context);
    if (!lead || !min_age) return;
    crypto::rotation how;
    how.now = clock_seconds();
    how.lead = *lead;
    how.min_age = *min_age;
    if (!given->uses.empty()) how.uses = given->uses;
    context.status = run_keys_rotate(given->file, given->under, how, context.out, context.err);
  });
}

void add_prune(CLI::App& group, command_context& context) {
  const auto given = std::make_shared<arguments>();
  auto* prune = add_file_command(group, "prune", "Remove keys nothing alive was signed with", given);
  prune
      ->add_option("--idle-lifetime", given->idle_lifetime,
                   "tokens.idle_lifetime; refresh keys stay a day longer")
      ->capture_default_str();
  prune->callback([&context, given] {
    const auto idle = seconds_of("--idle-lifetime", given->idle_lifetime, context);
    if (!idle) return;
    crypto::retention keep;
    keep.refresh = *idle + std::chrono::hours{24};
    context.status =
        run_keys_prune(given->file, given->under, clock_seconds(), keep, context.out, context.err);
  });
}

}  // namespace

void add_keys_command(CLI::App& app, command_context& context) {
  auto* group = app.add_subcommand("keys", "Signing and refresh keys");
  group->require_subcommand(1);
  add_generate(*group, context);
  add_rotate(*group, context);
  add_prune(*group, context);
  const auto listed = std::make_shared<arguments>();
  add_file_command(*group, "list", "Show the keys of a file, without their secrets", listed)
      ->callback([&context, listed] {
        context.status =
            run_keys_list(listed->file, listed->under, clock_seconds(), context.out, context.err);
      });
  const auto sealed = std::make_shared<arguments>();
  add_file_command(*group, "seal", "Seal a file under a key-encryption key", sealed)
      ->callback([&context, sealed] {
        context.status = run_keys_seal(sealed->file, sealed->under, context.out, context.err);
      });
  const auto clear = std::make_shared<arguments>();
  add_file_command(*group, "unseal", "Write a sealed file in the clear", clear)->callback([&context, clear] {
    context.status = run_keys_unseal(clear->file, clear->under, context.out, context.err);
  });
}

}  // namespace pam::cli
