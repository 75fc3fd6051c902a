#include "server/cli/token_command.hpp"

#include <algorithm>
#include <memory>
#include <ostream>

#include <CLI/CLI.hpp>

#include "protocol/claims.hpp"
#include "protocol/objects.hpp"
#include "server/cli/command.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/secret.hpp"
#include "server/runtime/config_values.hpp"
#include "server/runtime/load_keys.hpp"

namespace pam::cli {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 255 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

/// Why the request cannot be granted; empty when it can.
std::string refusal(const runtime::configuration& settings, const token_request& wanted) {
  const auto& roles = settings.tokens.admin_roles;
  if (std::find(roles.begin(), roles.end(), wanted.role) == roles.end()) {
    return "role " + runtime::quoted_short(wanted.role) + " is none of tokens.admin_roles (" + joined(roles) +
           ")";
  }
  if (wanted.lifetime < shortest_machine_token || wanted.lifetime > longest_machine_token) {
    return "the lifetime must be from " + runtime::format_duration(shortest_machine_token) + " to " +
           runtime::format_duration(longest_machine_token) + ", not " +
           runtime::format_duration(wanted.lifetime);
  }
  if (!is_word(wanted.subject)) return "the subject must be 1 to 255 visible ASCII characters";
  if (settings.keys.file.empty()) return "keys.file is not configured; `pam-auth keys generate` makes one";
  return {};
}

protocol::machine_claims claims_of(const runtime::configuration& settings, const token_request& wanted) {
  const auto issued = std::chrono::floor<std::chrono::seconds>(wanted.now).time_since_epoch();
  return {.iss = settings.server.site_url + settings.server.prefix,
          .sub = wanted.subject,
          .aud = settings.tokens.audience,
          .role = wanted.role,
          .exp = (issued + wanted.lifetime).count(),
          .iat = issued.count()};
}

}  // namespace

int run_token(const runtime::configuration& settings, const token_request& wanted, std::ostream& out,
              std::ostream& err) {
  if (const std::string reason = refusal(settings, wanted); !reason.empty()) {
    err << reason << "\n";
    return failure;
  }
  const auto keys = runtime::load_keys(settings);
  if (!keys) {
    err << "cannot use " << keys.error().key << ": " << keys.error().message << "\n";
    return failure;
  }
  const auto claims = claims_of(settings, wanted);
  auto token = keys->sign(crypto::key_use::machine, protocol::encode(claims));
  if (!token) {
    err << "cannot sign: " << token.error().detail << "\n";
    return failure;
  }
  out << *token << "\n";
  crypto::wipe(token->data(), token->size());
  const protocol::timestamp end{std::chrono::seconds{claims.exp}};
  err << "role " << claims.role << ", subject " << claims.sub << ", valid until " << protocol::to_rfc3339(end)
      << "\n";
  return success;
}

void add_token_command(CLI::App& app, command_context& context) {
  struct arguments {
    std::string config;
    std::string role;
    std::string lifetime;
    std::string subject = "machine";
  };
  auto* command = app.add_subcommand("token", "Mint a machine token for administration");
  const auto given = std::make_shared<arguments>();
  command->add_option("--config", given->config, "TOML file")->required()->envname("PAM_CONFIG");
  command->add_option("--role", given->role, "One of tokens.admin_roles")->required();
  command->add_option("--ttl", given->lifetime, "Lifetime such as 12h or 90d, at most 365d")->required();
  command->add_option("--subject", given->subject, "Who uses it; stands in the audit log");
  command->callback([&context, given] {
    const auto lifetime = runtime::parse_duration(given->lifetime);
    if (!lifetime) {
      context.err << "--ttl must be a duration such as 12h or 90d, not "
                  << runtime::quoted_short(given->lifetime) << "\n";
      context.status = usage;
      return;
    }
    const auto settings = runtime::load_config(given->config, context.variables);
    if (!settings) {
      context.err << runtime::to_string(settings.error());
      context.status = failure;
      return;
    }
    const token_request wanted{.role = given->role,
                               .lifetime = std::chrono::floor<std::chrono::seconds>(*lifetime),
                               .subject = given->subject};
    context.status = run_token(*settings, wanted, context.out, context.err);
  });
}

}  // namespace pam::cli
