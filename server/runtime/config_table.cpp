#include "server/runtime/config_table.hpp"

#include <algorithm>
#include <array>

#include "server/runtime/config_options.hpp"

namespace pam::runtime {
namespace {

constexpr std::array sections{
    section{"server", "The server as a whole: its profile, its address on the web, how it ends"},
    section{"listen", "The public HTTPS port"},
    section{"tls", "Certificate and tickets of the public port"},
    section{"limits", "Sizes, counts and times of one connection and one request"},
    section{"admission", "Requests at work at the same time; the next one is answered 503 at once"},
    section{"internal", "The port of /metrics, /livez and /readyz; keep it off public networks"},
    section{"database", "PostgreSQL, directly or through PgBouncer; pool sizes are those of one shard"},
    section{"migrate", "The owner's direct connection for migrations, never through the pooler"},
    section{"maintain",
            "`pam-auth maintain`: how long rows are kept after their partition's end, what is rebuilt"},
    section{"keys", "Signing and refresh keys"},
    section{"tokens", "Access tokens, refresh tokens and sessions"},
    section{"admin", "Administration by machine tokens (`pam-auth token`)"},
    section{"oauth", "The OAuth 2.0 endpoints: introspection and revocation"},
    section{"hash", "Password hashing (Argon2id); threads are a budget for the host"},
    section{"password", "Rules for new passwords"},
    section{"accounts", "Who may have an account"},
    section{"mail", "Outgoing mail"},
    section{"rate_limits", "What one address may ask for (IPv6: its /64), refreshes apart; 0: no limit"},
    section{"log", "JSON lines"},
    section{"tracing", "Spans of requests for an OpenTelemetry collector (OTLP/HTTP, JSON)"},
};

}  // namespace

std::span<const section> config_sections() {
  return sections;
}

std::vector<option> options_of(configuration& settings) {
  std::vector<option> out;
  out.reserve(128);
  add_server(out, settings);
  add_listen(out, settings);
  add_limits(out, settings);
  add_admission(out, settings);
  add_database(out, settings);
  add_pools(out, settings);
  add_migrate(out, settings);
  add_maintain(out, settings);
  add_keys(out, settings);
  add_tokens(out, settings);
  add_accounts(out, settings);
  add_log(out, settings);
  add_tracing(out, settings);
  return out;
}

const option* find_option(const std::vector<option>& table, std::string_view key) {
  const auto found =
      std::find_if(table.begin(), table.end(), [key](const option& o) { return o.key == key; });
  return found == table.end() ? nullptr : &*found;
}

void apply_profile(configuration& settings, std::string_view profile) {
  settings.server.profile = profile;
  if (profile != "strict") return;
  // RFC 9700 section 4.14.2: a refresh token is used once, without exception.
  settings.tokens.reuse_interval = std::chrono::seconds{0};
  settings.tokens.lost_response_window = std::chrono::seconds{0};
  // OWASP ASVS 5.0: 3.4.2 (origins from an allow list), 6.2.3 (the current password is asked for).
  settings.server.cors_origins.clear();
  settings.password.require_current = true;
}

}  // namespace pam::runtime
