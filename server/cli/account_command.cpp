#include "server/cli/account_command.hpp"

#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>
#include <boost/uuid/name_generator_sha1.hpp>

#include "server/cli/command.hpp"
#include "server/cli/migrate.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::cli {
namespace {

/// Connects as the owner, finds the person and does `work` with the id.
template <class Work>
int with_person(const runtime::configuration& settings, const person& who, std::ostream& err, Work work) {
  db::admin_settings endpoint = migration_endpoint(settings);
  endpoint.application_name = "pam-auth account";
  auto connection = db::admin_connection::connect(endpoint);
  if (connection.has_error()) {
    err << "PostgreSQL at " << endpoint.host << " port " << endpoint.port
        << " did not let us in: " << connection.error().detail << '\n';
    return failure;
  }
  const auto account = find_person(*connection, who);
  if (account.has_error()) {
    err << account.error().sentence << '\n';
    return failure;
  }
  const migration_result<void> done = work(*connection, *account);
  if (done.has_value()) return success;
  err << done.error().sentence << '\n';
  return failure;
}

}  // namespace

migration_result<pseudonym> pseudonym_of(const runtime::configuration& settings) {
  auto keys = crypto::key_ring::load(settings.keys.file);
  if (keys.has_error())
    return migration_error{migration_errc::failed, "Pseudonyms need keys.file: " + keys.error().detail};
  const auto ring = std::make_shared<crypto::key_ring>(std::move(*keys));
  return pseudonym{[ring](std::string_view text) {
    const boost::uuids::name_generator_sha1 hash{boost::uuids::ns::url()};
    crypto::refresh_token carrier;
    carrier.account = hash(text.data(), text.size());
    carrier.session = boost::uuids::name_generator_sha1{carrier.account}(text.data(), text.size());
    std::string hex;
    constexpr std::string_view digits = "0123456789abcdef";
    for (const std::byte each : ring->derive(carrier, 0).secret) {
      hex += digits[std::to_integer<unsigned>(each) >> 4U];
      hex += digits[std::to_integer<unsigned>(each) & 0xfU];
    }
    return hex;
  }};
}

int run_account_export(const runtime::configuration& settings, const person& who, std::ostream& out,
                       std::ostream& err) {
  return with_person(
      settings, who, err,
      [&out](db::admin_connection& connection, const std::string& account) -> migration_result<void> {
        const auto document = export_person(connection, account);
        if (document.has_error()) return document.error();
        out << *document << '\n';
        return {};
      });
}

int run_account_erase(const runtime::configuration& settings, const person& who, bool is_hard,
                      std::ostream& out, std::ostream& err) {
  return with_person(
      settings, who, err,
      [&](db::admin_connection& connection, const std::string& account) -> migration_result<void> {
        if (is_hard) {
          const auto rows = erase_hard(connection, account);
          if (rows.has_error()) return rows.error();
          out << "erased " << account << ": " << *rows << " rows\n";
          return {};
        }
        const auto replace = pseudonym_of(settings);
        if (replace.has_error()) return replace.error();
        const auto done = erase_softly(connection, account, *replace);
        if (done.has_error()) return done.error();
        out << "erased " << account << " softly\n";
        return {};
      });
}

void add_account_command(CLI::App& app, command_context& context) {
  struct arguments {
    std::string config;
    person who;
    bool is_hard = false;
  };
  auto* account = app.add_subcommand("account", "What the database holds of a person: show it, erase it");
  account->require_subcommand(1);
  const auto add = [&](const char* name, const char* help, bool is_erasing) {
    const auto given = std::make_shared<arguments>();
    auto* command = account->add_subcommand(name, help);
    command->add_option("--config", given->config, "TOML file")->required()->envname("PAM_CONFIG");
    auto* id = command->add_option("--id", given->who.id, "The account's id");
    command->add_option("--holder", given->who.claim, "An address or phone number it holds")->excludes(id);
    if (is_erasing)
      command->add_flag("--hard", given->is_hard,
                        "Delete every row; without it the account stays as a pseudonym");
    command->callback([&context, given, is_erasing] {
      if (given->who.id.empty() && given->who.claim.empty()) {
        context.err << "say whom: --id or --holder\n";
        context.status = usage;
        return;
      }
      const auto settings = runtime::load_config(given->config, context.variables);
      if (!settings) {
        context.err << runtime::to_string(settings.error());
        context.status = failure;
        return;
      }
      context.status =
          is_erasing ? run_account_erase(*settings, given->who, given->is_hard, context.out, context.err)
                     : run_account_export(*settings, given->who, context.out, context.err);
    });
  };
  add("export", "Write everything that is held of a person, as JSON", false);
  add("erase", "Erase a person's data", true);
}

}  // namespace pam::cli
