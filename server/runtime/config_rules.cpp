#include <algorithm>
#include <array>
#include <fstream>

#include "server/runtime/config_reader.hpp"
#include "server/runtime/config_values.hpp"

// What spans several keys: files a key names, and rules between values.
namespace pam::runtime {
namespace {

constexpr std::string_view credential_scheme = "credential:";
constexpr std::size_t password_limit = 1'024;

/// First line of a small file; nullopt when it cannot be read, is empty or too long.
std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file{path, std::ios::binary};
  std::string content(password_limit + 2, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (file.bad() || file.gcount() == 0) return std::nullopt;
  content.resize(static_cast<std::size_t>(file.gcount()));
  content.resize(std::min(content.find_first_of("\r\n"), content.size()));
  if (content.empty() || content.size() > password_limit) return std::nullopt;
  return content;
}

/// The equivalent settings of the OWASP Password Storage Cheat Sheet for Argon2id with p = 1.
bool is_owasp_cost(std::uint32_t memory_kib, std::uint32_t passes) {
  struct cost {
    std::uint32_t memory_kib, passes;
  };
  constexpr std::array minimum{cost{47'104, 1}, cost{19'456, 2}, cost{12'288, 3}, cost{9'216, 4},
                               cost{7'168, 5}};
  return std::any_of(minimum.begin(), minimum.end(),
                     [&](const cost& c) { return memory_kib >= c.memory_kib && passes >= c.passes; });
}

bool contains(const std::vector<std::string>& list, std::string_view entry) {
  return std::find(list.begin(), list.end(), entry) != list.end();
}

}  // namespace

void config_reader::resolve_credentials() {
  const auto folder = variables_.find("CREDENTIALS_DIRECTORY");
  for (const option& each : table_) {
    if (each.mark != option_mark::file) continue;
    std::string& path = *std::get<std::string*>(each.target);
    if (!path.starts_with(credential_scheme)) continue;
    const std::string name = path.substr(credential_scheme.size());
    if (name.empty() || name.find('/') != std::string::npos || name.starts_with('.')) {
      report(origin_of(each.key), each.key, "must name a credential after \"credential:\", without a folder");
    } else if (folder == variables_.end() || folder->second.empty()) {
      report(
          origin_of(each.key), each.key,
          "names a credential, but CREDENTIALS_DIRECTORY is not set; start the service with LoadCredential=" +
              name);
    } else {
      path = folder->second + "/" + name;
      add_to_origin(each.key, each.key, ", credential:" + name);
    }
  }
}

void config_reader::read_password(std::string_view key, std::string_view file_key) {
  if (faulty_.contains(key) || faulty_.contains(file_key)) return;
  std::string& password = *std::get<std::string*>(find_option(table_, key)->target);
  const std::string& path = *std::get<std::string*>(find_option(table_, file_key)->target);
  if (path.empty()) return;
  if (!password.empty()) {
    report(origin_of(file_key), file_key, "cannot stand beside " + std::string{key} + "; give one of them");
    return;
  }
  auto line = first_line(path);
  if (!line) {
    report(origin_of(file_key), file_key,
           "must name a readable file with a password of 1 to " + std::to_string(password_limit) +
               " bytes in its first line, not " + quoted_short(path));
    return;
  }
  if (auto wrong = assign(*find_option(table_, key), std::move(*line))) {
    report(origin_of(file_key), file_key, "the password in it " + *wrong);
  }
  add_to_origin(key, file_key, ", first line of the file in " + std::string{file_key});
}

/// The value of `key` comes from where `source` was written, by way of something else.
void config_reader::add_to_origin(std::string_view key, std::string_view source, std::string_view way) {
  value_origin origin = origin_of(source);
  origin.text += way;
  origins_.insert_or_assign(find_option(table_, key)->key, std::move(origin));
}

/// A rule between two keys: reported at the one that was given, and not at all when one of them has a
/// finding of its own, since its value is then not what the operator wanted.
void config_reader::check_rule(bool holds, std::string_view key, std::string_view other,
                               std::string message) {
  if (holds || faulty_.contains(key) || faulty_.contains(other)) return;
  const bool at_other = !origins_.contains(key) && origins_.contains(other);
  const std::string_view where = at_other ? other : key;
  findings_.push_back({origin_of(where), std::string{where}, std::move(message)});
}

void config_reader::check_rules() {
  const configuration& c = settings_;
  const auto text = [](std::chrono::milliseconds value) { return format_duration(value); };
  const auto at_most = [&](std::string_view key, std::chrono::milliseconds value, std::string_view other,
                           std::chrono::milliseconds bound) {
    check_rule(value <= bound, key, other,
               std::string{key} + " (" + text(value) + ") must not exceed " + std::string{other} + " (" +
                   text(bound) + ")");
  };
  at_most("tokens.idle_lifetime", c.tokens.idle_lifetime, "tokens.absolute_lifetime",
          c.tokens.absolute_lifetime);
  at_most("tokens.access_lifetime", c.tokens.access_lifetime, "tokens.idle_lifetime", c.tokens.idle_lifetime);
  at_most("tokens.reuse_interval", c.tokens.reuse_interval, "tokens.lost_response_window",
          c.tokens.lost_response_window);
  at_most("limits.request", c.limits.request, "server.drain_timeout", c.server.drain_timeout);
  // The accounts table refuses these two whatever admin_roles says, and longer texts: any of them would
  // fail every sign-up.
  check_rule(
      !contains(c.tokens.admin_roles, c.tokens.role) && c.tokens.role != "service_role" &&
          c.tokens.role != "supabase_admin",
      "tokens.role", "tokens.admin_roles",
      "tokens.role " + quoted_short(c.tokens.role) +
          " must not be service_role, supabase_admin or one of tokens.admin_roles: every user would be "
          "an administrator");
  check_rule(c.tokens.role.size() <= 64, "tokens.role", "tokens.role",
             "tokens.role must have at most 64 characters, not " + std::to_string(c.tokens.role.size()));
  check_rule(
      c.limits.incomplete_bytes > c.limits.body_bytes + c.limits.header_bytes, "limits.incomplete_bytes",
      "limits.body_bytes",
      "limits.incomplete_bytes must exceed limits.body_bytes and limits.header_bytes together: one request "
      "must fit");
  check_rule(c.tls.certificate_file.empty() == c.tls.private_key_file.empty(), "tls.certificate_file",
             "tls.private_key_file", "tls.certificate_file and tls.private_key_file must be given together");
  check_rule(c.internal.certificate_file.empty() == c.internal.private_key_file.empty(),
             "internal.certificate_file", "internal.private_key_file",
             "internal.certificate_file and internal.private_key_file must be given together");
  check_rule(
      c.internal.client_ca_file.empty() || !c.internal.certificate_file.empty(), "internal.client_ca_file",
      "internal.certificate_file",
      "internal.client_ca_file needs internal.certificate_file: clients show certificates in TLS only");
  check_rule(
      c.keys.encryption_key_file.empty() || c.keys.encryption_key_command.empty(),
      "keys.encryption_key_command", "keys.encryption_key_file",
      "keys.encryption_key_file and keys.encryption_key_command cannot stand together; give one of them");
  check_rule(c.listen.port == 0 || c.listen.port != c.internal.port || c.listen.address != c.internal.address,
             "internal.port", "listen.port",
             "listen and internal must not share the port " + std::to_string(c.listen.port));
  check_rule(c.listen.proxy_protocol == "off" || !c.listen.trusted_proxies.empty(), "listen.proxy_protocol",
             "listen.trusted_proxies",
             "listen.proxy_protocol needs listen.trusted_proxies: the networks of your balancers");
  check_rule(c.listen.forwarded_header == "off" || !c.listen.trusted_proxies.empty(),
             "listen.forwarded_header", "listen.trusted_proxies",
             "listen.forwarded_header needs listen.trusted_proxies: the networks of your balancers");
  check_rule(std::ranges::none_of(c.listen.trusted_proxies,
                                  [](const std::string& each) {
                                    return each.find_first_not_of('0', each.find('/') + 1) == each.npos;
                                  }),
             "listen.trusted_proxies", "listen.trusted_proxies",
             "listen.trusted_proxies must not hold a network of every address: each client could then choose "
             "its own; name the networks of your balancers");
  check_rule(c.hash.processes <= c.server.processes, "hash.processes", "server.processes",
             "hash.processes (" + std::to_string(c.hash.processes) + ") must not exceed server.processes (" +
                 std::to_string(c.server.processes) + "): those of one host are among those of all");
  check_rule(!c.database.sslmode.starts_with("verify-") || !c.database.sslrootcert.empty(),
             "database.sslmode", "database.sslrootcert",
             "database.sslmode " + quoted(c.database.sslmode) +
                 " needs database.sslrootcert: the authorities it shall trust");
}

config_errors missing_for_serving(const configuration& settings) {
  config_errors out;
  const auto require = [&out](bool holds, std::string_view key, std::string_view message) {
    if (!holds) out.push_back({std::string{key}, "needed to serve", std::string{message}});
  };
  require(settings.server.is_profile_chosen, "server.profile",
          "must be chosen: \"compatible\" for unpatched GoTrue clients, \"strict\" for OWASP ASVS level 2");
  require(!settings.database.hosts.empty(), "database.hosts", "must name PostgreSQL or PgBouncer");
  require(!settings.keys.file.empty(), "keys.file",
          "must name a key file; `pam-auth keys generate` makes one");
  require(!settings.listen.is_tls || !settings.tls.certificate_file.empty(), "tls.certificate_file",
          "must name a certificate while listen.tls is true");
  require(!settings.listen.is_tls || !settings.tls.private_key_file.empty(), "tls.private_key_file",
          "must name the certificate's key while listen.tls is true");
  require(settings.accounts.auto_confirm, "accounts.auto_confirm",
          "must be true: this version sends no confirmation mails, so every address counts as confirmed");
  if (settings.server.profile != "strict") return out;
  require(settings.server.site_url.starts_with("https://"), "server.site_url",
          "must begin with https:// in the strict profile");
  require(!contains(settings.server.cors_origins, "*"), "server.cors_origins",
          "must list origins, not \"*\", in the strict profile");
  require(
      is_owasp_cost(settings.hash.memory_kib, settings.hash.passes), "hash.memory_kib",
      "with hash.passes is below OWASP's minimum for Argon2id (19456 KiB and 2 passes, or an equivalent), "
      "which the strict profile does not allow");
  require(!settings.admin.allow_unbounded, "admin.allow_unbounded",
          "must be false in the strict profile: a token without an end cannot be taken back");
  require(settings.password.min_length >= 8, "password.min_length",
          "must be at least 8 in the strict profile");
  return out;
}

}  // namespace pam::runtime
