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
#include "server/net/config.hpp"

namespace pam::runtime {

/// The whole configuration, validated. One struct a TOML section; `docs/configuration.md` is generated
/// from the same table that parses it.
struct configuration {
  struct {
    std::string profile = "compatible";               ///< compatible | strict
    std::size_t shards = 0;                           ///< 0: the cores
    std::string site_url = "https://localhost:8443";  ///< external base URL; issuer is site_url + prefix
    std::string prefix = "/auth/v1";
    std::vector<std::string> cors_origins{"*"};
    std::chrono::milliseconds drain_delay{5'000};
    std::chrono::milliseconds drain_timeout{90'000};
  } server;
  net::listener_config listen;  ///< [listen] address, port, tls
  net::limits limits;           ///< [limits]
  struct {
    std::size_t read = 4096;  ///< requests in flight per shard and cost class
    std::size_t write = 4096;
    std::size_t hash = 256;
  } admission;
  net::tls_config tls;
  struct {
    std::string address = "127.0.0.1";
    std::uint16_t port = 9443;
  } internal;
  db::config database;  ///< [database], pools per shard
  struct {
    std::string host = "";  ///< empty: the first database host
    std::uint16_t port = 5432;
    std::string database = "auth";
    std::string user = "pam_owner";
    std::string password;
  } migrate;  ///< direct connection of the owner, never the pooler
  struct {
    std::string file;  ///< JWK Set, see crypto::key_ring
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
    std::size_t threads = 0;  ///< 0: half the cores, at least 1
    std::size_t queue_limit = 256;
    std::chrono::milliseconds max_wait{2'000};
    std::uint32_t memory_kib = 19'456;
    std::uint32_t passes = 2;
  } hash;
  struct {
    std::size_t min_length = 8;
    bool require_current = false;  ///< PUT /user asks for current_password
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
    std::string level = "info";
    std::string file;  ///< empty: standard output
  } log;
};

/// One finding about a configuration: what is wrong, where, and what would be right.
struct config_error {
  std::string key;      ///< "section.key"
  std::string origin;   ///< "pam.toml:12", "environment PAM_LIMITS__CONNECTIONS", "default"
  std::string message;  ///< names the value, the type or range, and the nearest known key for a typo
};

using environment = std::map<std::string, std::string, std::less<>>;

/// Reads TOML text, overlays `PAM_SECTION__KEY` variables, validates everything and reports every
/// finding, not only the first.
[[nodiscard]] boost::system::result<configuration, std::vector<config_error>> parse_config(
    std::string_view toml, std::string_view file_name, const environment& variables);
[[nodiscard]] boost::system::result<configuration, std::vector<config_error>> load_config(
    const std::string& file, const environment& variables);
/// The process's variables that start with PAM_.
[[nodiscard]] environment process_environment();
/// Every key with its default, range and meaning, as commented TOML.
[[nodiscard]] std::string default_config();

[[noreturn]] void throw_exception_from_error(const std::vector<config_error>& failure,
                                             const boost::source_location& where);

}  // namespace pam::runtime
