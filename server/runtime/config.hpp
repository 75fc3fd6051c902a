#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "db/config.hpp"
#include "server/crypto/hash_pool.hpp"
#include "server/net/config.hpp"

namespace pam::runtime {

/// Settings of a pool that looks after itself while nobody uses it.
inline db::config watchful() {
  db::config how;
  how.heartbeat = std::chrono::milliseconds{500};
  return how;
}

/// The whole configuration, validated. One struct a TOML section; the reference (`./dev docs`) is made
/// from the same table that parses it.
struct configuration {
  struct {
    std::string profile = "compatible";               ///< compatible | strict
    bool is_profile_chosen = false;                   ///< given by the operator, not the default
    std::size_t shards = 0;                           ///< 0: the cores
    std::size_t processes = 1;                        ///< that share the database, on all hosts
    std::string site_url = "https://localhost:8443";  ///< external base URL; issuer is site_url + prefix
    std::string prefix = "/auth/v1";
    std::vector<std::string> cors_origins{"*"};
    std::chrono::milliseconds drain_delay{5'000};
    std::chrono::milliseconds drain_timeout{90'000};
    std::string control_socket;  ///< empty: no successor can take over
  } server;
  net::listener_config listen;  ///< [listen] address, port, tls
  net::limits limits;           ///< [limits]
  struct {
    std::size_t read = 4096;  ///< requests in flight per shard and cost class
    std::size_t write = 4096;
    std::size_t hash = 256;
    std::chrono::milliseconds bearable_wait{250};  ///< of reads and writes; 0: any
  } admission;
  net::tls_config tls;
  struct {
    std::string address = "127.0.0.1";
    std::uint16_t port = 9443;
    std::string certificate_file;  ///< empty: plain HTTP
    std::string private_key_file;
    std::string client_ca_file;  ///< empty: whoever reaches the port may ask
  } internal;
  db::config database = watchful();    ///< [database], pools per shard
  std::string database_password_file;  ///< [database] password_file; already read into database.password
  struct {
    std::string host = "";  ///< empty: the first database host
    std::uint16_t port = 5432;
    std::string database = "auth";
    std::string user = "pam_owner";
    std::string password;
    std::string password_file;  ///< already read into password
  } migrate;                    ///< direct connection of the owner, never the pooler
  struct {
    std::chrono::seconds keep_sessions{120 *
                                       86'400};  ///< past the end of a partition; at least absolute_lifetime
    std::chrono::seconds keep_events{400 * 86'400};
    std::chrono::seconds keep_tokens{2 * 86'400};
    std::chrono::seconds keep_flows{2 * 86'400};
    std::chrono::seconds keep_outbox{7 * 86'400};
    std::chrono::seconds report_interval{900};
    std::size_t bloat_percent = 50;        ///< an index with more of its size wasted is built anew
    std::size_t bloat_bytes = 67'108'864;  ///< smaller indexes are left alone
    std::chrono::seconds step_limit{300};
  } maintain;
  struct {
    std::string file;                    ///< JWK Set, see crypto::key_ring
    std::string encryption_key_file;     ///< opens a sealed file
    std::string encryption_key_command;  ///< prints what that file would hold
  } keys;
  struct {
    std::chrono::seconds access_lifetime{900};
    std::chrono::seconds idle_lifetime{30 * 86'400};
    std::chrono::seconds absolute_lifetime{90 * 86'400};
    std::chrono::seconds reuse_interval{10};
    std::chrono::seconds lost_response_window{300};
    std::string audience = "authenticated";
    std::string role = "authenticated";
    std::vector<std::string> admin_roles{"service_role", "supabase_admin"};
  } tokens;
  struct {
    std::vector<std::string> clients;  ///< "id:sha256:hex", as `pam-auth client` prints them
  } oauth;
  struct {
    bool allow_unbounded = false;  ///< machine tokens without exp and aud are accepted
  } admin;
  struct {
    std::size_t threads = 0;    ///< of the host; 0: half the cores, at least 1
    std::size_t processes = 0;  ///< of this host, which divide them; 0: server.processes
    std::size_t queue_limit = crypto::hash_pool_config{}.queue_limit;
    std::chrono::milliseconds max_wait = crypto::hash_pool_config{}.max_wait;
    std::uint32_t memory_kib = crypto::hash_cost{}.memory_kib;
    std::uint32_t passes = crypto::hash_cost{}.passes;
  } hash;
  struct {
    std::size_t min_length = 8;
    bool require_current = false;  ///< PUT /user asks for current_password
    std::string breach_url;        ///< of a range API; empty: nobody is asked
    std::chrono::milliseconds breach_timeout{1'000};
    std::string breach_ca_file;                ///< empty: the system's certificates
    std::vector<std::string> breach_networks;  ///< private ones that may be asked
  } password;
  struct {
    bool signup_enabled = true;
    bool auto_confirm = false;
    bool email_enabled = true;
  } accounts;
  struct {
    std::string folder;  ///< development: mail is written here
  } mail;
  struct {
    std::uint32_t read_per_minute = 3'000;  ///< of one address, the process's shards together
    std::uint32_t write_per_minute = 600;
    std::uint32_t hash_per_minute = 60;
    std::vector<std::string> unlimited{"127.0.0.0/8", "::1/128"};
  } rate_limits;
  struct {
    std::string level = "info";
    std::string file;                               ///< empty: standard output
    std::size_t flood_limit = 20;                   ///< warn and error lines a second of the same event
    std::chrono::milliseconds slow_request{1'000};  ///< 0: none is slow
  } log;
  struct {
    std::string endpoint;  ///< of OTLP/HTTP; empty: no tracing
    std::uint32_t sample_percent = 100;
    std::size_t queue_limit = 4'096;
  } tracing;
};

/// One finding about a configuration: what is wrong, where, and what would be right.
struct config_error {
  std::string key;      ///< "section.key"
  std::string origin;   ///< "pam.toml:12", "environment PAM_LIMITS__CONNECTIONS", "default"
  std::string message;  ///< names the value, the type or range, and the nearest known key for a typo
};

using environment = std::map<std::string, std::string, std::less<>>;
using config_errors = std::vector<config_error>;

/// Reads TOML text, overlays `PAM_SECTION__KEY` variables, validates everything and reports every
/// finding, not only the first, in the order of the file's lines, then the environment's names.
///
/// Precedence: defaults, the defaults of the chosen profile, the file, the environment. A file name
/// written `credential:name` means `$CREDENTIALS_DIRECTORY/name` (systemd.exec(5), LoadCredential), and
/// `password_file` is read here: the only file access. Messages never repeat a password.
/// @param file_name  only for messages
/// @param variables  PAM_ variables and CREDENTIALS_DIRECTORY; others are ignored. An unknown PAM_
///                   variable is an error, PAM_CONFIG (the file's own name) apart
[[nodiscard]] boost::system::result<configuration, config_errors> parse_config(std::string_view toml,
                                                                               std::string_view file_name,
                                                                               const environment& variables);
/// `parse_config` of a file of at most 1 MiB.
[[nodiscard]] boost::system::result<configuration, config_errors> load_config(const std::string& file,
                                                                              const environment& variables);
/// The process's variables that start with PAM_, and those of systemd we read: CREDENTIALS_DIRECTORY,
/// NOTIFY_SOCKET, LISTEN_* and WATCHDOG_*.
[[nodiscard]] environment process_environment();

/// What a valid configuration still lacks before `serve` may start with it: a chosen profile, a key
/// file, certificates when TLS is on, database hosts, secure values where the profile is strict.
[[nodiscard]] config_errors missing_for_serving(const configuration& settings);

/// "pam.toml:12: limits.connections: ..." and a line feed for each.
[[nodiscard]] std::string to_string(const config_errors& findings);

/// Every key with its default, range and meaning, as commented TOML. Parses to the defaults.
[[nodiscard]] std::string default_config();
/// The reference as Markdown, one table a section.
[[nodiscard]] std::string config_reference_markdown();

/// What `explain_config` has to say.
struct explanation {
  std::string text;        ///< of a known key: everything about it; else what was probably meant
  config_errors findings;  ///< why no value is in force, if the configuration is refused
  bool is_known = false;
};
/// Everything about one key: its meaning, what it takes, its defaults, how it is written, whether a reload
/// applies it, the value in force and where that comes from. A secret's value is never told.
/// @param key   "section.key", or the name of its variable
/// @param file  the configuration; empty: defaults and environment only
[[nodiscard]] explanation explain_config(std::string_view key, const std::string& file,
                                         const environment& variables);

/// Keys whose values differ, as "section.key".
struct config_difference {
  std::vector<std::string> reloadable;
  std::vector<std::string> needs_restart;
};
[[nodiscard]] config_difference difference(const configuration& running, const configuration& fresh);
/// Copies the reloadable values of `fresh`; the rest of `running` stays.
void apply_reloadable(configuration& running, const configuration& fresh);
/// "section.key = value" for each key in which a configuration departs from what its profile sets.
[[nodiscard]] std::vector<std::string> departures_from_profile(const configuration& settings);

/// The shards a process runs: the configured number, or the cores this process may use.
[[nodiscard]] std::size_t effective_shards(const configuration& settings);
/// Hashing threads of one process: its share of the host's budget, at least 1.
[[nodiscard]] std::size_t effective_hash_threads(const configuration& settings);

[[noreturn]] void throw_exception_from_error(const std::vector<config_error>& failure,
                                             const boost::source_location& where);

}  // namespace pam::runtime
