#include "server/runtime/config_table.hpp"

#include <algorithm>
#include <array>

#include "server/runtime/config_forms.hpp"

namespace pam::runtime {
namespace {

constexpr std::int64_t second = 1'000;
constexpr std::int64_t minute = 60 * second;
constexpr std::int64_t hour = 60 * minute;
constexpr std::int64_t day = 24 * hour;
constexpr std::int64_t kib = 1'024;
constexpr std::int64_t mib = 1'024 * kib;

constexpr std::array<std::string_view, 2> profiles{"compatible", "strict"};
constexpr std::array<std::string_view, 4> log_levels{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> proxy_protocols{"off", "required"};
constexpr std::array<std::string_view, 3> forwarded_headers{"off", "forwarded", "x-forwarded-for"};
constexpr std::array<std::string_view, 6> sslmodes{"disable", "allow",     "prefer",
                                                   "require", "verify-ca", "verify-full"};

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

void add_server(std::vector<option>& out, configuration& c) {
  out.insert(
      out.end(),
      {{.key = "server.profile",
        .target = &c.server.profile,
        .meaning =
            "compatible: what unpatched GoTrue clients expect; strict: OWASP ASVS level 2 and RFC 9700. "
            "`serve` asks for an explicit choice",
        .choices = profiles},
       {.key = "server.shards",
        .target = &c.server.shards,
        .meaning = "Threads that serve connections; 0: one for each core",
        .high = 1'024},
       {.key = "server.processes",
        .target = &c.server.processes,
        .meaning = "Processes that share the database, on all hosts: for the sum of their pools, and for "
                   "hash.processes",
        .low = 1,
        .high = 1'000},
       {.key = "server.site_url",
        .target = &c.server.site_url,
        .meaning = "External base URL; the issuer of tokens is this and server.prefix",
        .form = &forms::base_url},
       {.key = "server.prefix",
        .target = &c.server.prefix,
        .meaning = "Path in front of the first-party API",
        .form = &forms::path_prefix},
       {.key = "server.cors_origins",
        .target = &c.server.cors_origins,
        .meaning = "Origins whose scripts may call the API; \"*\" means all",
        .high = 256,
        .form = &forms::origin},
       {.key = "server.drain_delay",
        .target = &c.server.drain_delay,
        .meaning = "From SIGTERM (not ready any more) to the end of accepting connections",
        .high = 10 * minute},
       {.key = "server.drain_timeout",
        .target = &c.server.drain_timeout,
        .meaning = "After that, how long running requests may take before they are cut",
        .low = second,
        .high = hour},
       {.key = "server.control_socket",
        .target = &c.server.control_socket,
        .meaning =
            "Where `serve --take-over` of the next version asks for the listening sockets: a path in a "
            "folder of this user; empty: nowhere",
        .form = &forms::socket_path}});
}

void add_listen(std::vector<option>& out, configuration& c) {
  out.insert(
      out.end(),
      {{.key = "listen.address",
        .target = &c.listen.address,
        .meaning = "Address to listen on; 0.0.0.0 or :: for all",
        .form = &forms::ip_address},
       {.key = "listen.port",
        .target = &c.listen.port,
        .meaning = "Port to listen on; 0: the system chooses",
        .high = 65'535},
       {.key = "listen.tls",
        .target = &c.listen.is_tls,
        .meaning = "Speak TLS; false only behind a proxy that does, over a network nobody else can read"},
       {.key = "listen.reuse_port",
        .target = &c.listen.reuse_port,
        .meaning = "Share the port between shards and processes (SO_REUSEPORT)"},
       {.key = "listen.trusted_proxies",
        .target = &c.listen.trusted_proxies,
        .meaning = "Networks of the balancers and proxies in front: what they say of a client's address is "
                   "believed. Loopback is not among them unless it is named",
        .high = 64,
        .form = &forms::network},
       {.key = "listen.proxy_protocol",
        .target = &c.listen.proxy_protocol,
        .meaning = "PROXY protocol, version 1 or 2. required: each connection from listen.trusted_proxies "
                   "begins with its header, and none from elsewhere does",
        .choices = proxy_protocols},
       {.key = "listen.forwarded_header",
        .target = &c.listen.forwarded_header,
        .meaning = "Header field in which listen.trusted_proxies name the client; the proxy must append to "
                   "it or set it. The address that counts is the last one that is not theirs",
        .choices = forwarded_headers},
       {.key = "tls.certificate_file",
        .target = &c.tls.certificate_file,
        .meaning = "PEM file: the certificate and its chain",
        .mark = option_mark::file,
        .is_reloadable = true},
       {.key = "tls.private_key_file",
        .target = &c.tls.private_key_file,
        .meaning = "PEM file: the certificate's private key",
        .mark = option_mark::file,
        .is_reloadable = true},
       {.key = "tls.ticket_secret_file",
        .target = &c.tls.ticket_secret_file,
        .meaning =
            "32 or more random bytes shared by all processes, for session tickets; empty: each process "
            "makes its own, and a client that meets another one shakes hands in full",
        .mark = option_mark::file,
        .is_reloadable = true}});
}

void add_limits(std::vector<option>& out, configuration& c) {
  const auto time = [&out](std::string_view key, std::chrono::milliseconds& target,
                           std::string_view meaning) {
    out.push_back({.key = key, .target = &target, .meaning = meaning, .low = 100, .high = hour});
  };
  out.insert(
      out.end(),
      {{.key = "limits.connections",
        .target = &c.limits.connections,
        .meaning = "Open connections of one shard; while it is full, new ones are reset after half a second",
        .low = 1,
        .high = 10'000'000},
       {.key = "limits.header_bytes",
        .target = &c.limits.header_bytes,
        .meaning = "Request line and header fields",
        .low = kib,
        .high = 64 * kib,
        .mark = option_mark::bytes},
       {.key = "limits.header_fields",
        .target = &c.limits.header_fields,
        .meaning = "Header fields of a request",
        .low = 16,
        .high = 1'000},
       {.key = "limits.body_bytes",
        .target = &c.limits.body_bytes,
        .meaning = "Body of a request",
        .low = kib,
        .high = 16 * mib,
        .mark = option_mark::bytes},
       {.key = "limits.incomplete_bytes",
        .target = &c.limits.incomplete_bytes,
        .meaning = "Memory of all requests of a shard that are not complete yet",
        .low = mib,
        .high = 16 * 1024 * mib,
        .mark = option_mark::bytes}});
  time("limits.handshake", c.limits.handshake,
       "For the first record of a TLS handshake, again for the rest; waits for its turn not counted");
  time("limits.header", c.limits.header, "From the first byte of a request to the end of its header");
  time("limits.body", c.limits.body, "From the end of the header to the end of the body");
  time("limits.write", c.limits.write, "For an answer the peer does not read");
  time("limits.keep_alive", c.limits.keep_alive, "An idle connection is kept this long");
  time("limits.request", c.limits.request, "The deadline of everything a request does");
  out.push_back({.key = "limits.handshakes_per_second",
                 .target = &c.limits.handshakes_per_second,
                 .meaning = "TLS handshakes of one shard; above it new connections wait",
                 .low = 1,
                 .high = 1'000'000});
}

void add_admission(std::vector<option>& out, configuration& c) {
  const auto requests = [&out](std::string_view key, std::size_t& target, std::string_view meaning) {
    out.push_back({.key = key, .target = &target, .meaning = meaning, .low = 1, .high = 1'000'000});
  };
  requests("admission.read", c.admission.read, "Requests of one shard that only read");
  requests("admission.write", c.admission.write, "Requests of one shard that write");
  requests("admission.hash", c.admission.hash, "Requests of one shard that hash a password");
  out.push_back(
      {.key = "admission.bearable_wait",
       .target = &c.admission.bearable_wait,
       .meaning = "While most reads and writes take longer than this, only so many are admitted as keep the "
                  "database busy and can be answered within it; 0: as many as above",
       .high = minute});
  out.push_back({.key = "internal.address",
                 .target = &c.internal.address,
                 .meaning = "Address of the internal port",
                 .form = &forms::ip_address});
  out.push_back({.key = "internal.port",
                 .target = &c.internal.port,
                 .meaning = "Internal port; 0: the system chooses",
                 .high = 65'535});
  const auto file = [&out](std::string_view key, std::string& target, std::string_view meaning) {
    out.push_back({.key = key,
                   .target = &target,
                   .meaning = meaning,
                   .mark = option_mark::file,
                   .is_reloadable = true});
  };
  file("internal.certificate_file", c.internal.certificate_file,
       "PEM file: certificate and chain of the internal port; empty: it speaks plain HTTP. Giving or taking "
       "it away needs a restart");
  file("internal.private_key_file", c.internal.private_key_file, "PEM file: that certificate's private key");
  file("internal.client_ca_file", c.internal.client_ca_file,
       "PEM file of authorities: only clients with a certificate of theirs are served; empty: all are");
}

void add_database(std::vector<option>& out, configuration& c) {
  db::config& d = c.database;
  out.insert(out.end(),
             {{.key = "database.hosts",
               .target = &d.hosts,
               .meaning = "Tried in order: \"host:port\", \"[::1]:5432\", or the directory of a Unix socket",
               .high = 16},
              {.key = "database.database",
               .target = &d.database,
               .meaning = "Database, or the pooler's alias of it",
               .form = &forms::word},
              {.key = "database.user",
               .target = &d.user,
               .meaning = "Role of the application",
               .form = &forms::word},
              {.key = "database.password",
               .target = &d.password,
               .meaning = "Its password; empty: peer, trust or a passfile. Prefer password_file",
               .mark = option_mark::secret},
              {.key = "database.password_file",
               .target = &c.database_password_file,
               .meaning = "File whose first line is the password, instead of database.password",
               .mark = option_mark::file},
              {.key = "database.sslmode",
               .target = &d.sslmode,
               .meaning = "TLS to the database, as in libpq",
               .choices = sslmodes},
              {.key = "database.sslrootcert",
               .target = &d.sslrootcert,
               .meaning = "PEM file of the authorities that verify-ca and verify-full trust",
               .mark = option_mark::file},
              {.key = "database.application_name",
               .target = &d.application_name,
               .meaning = "Name shown in pg_stat_activity",
               .form = &forms::word},
              {.key = "database.mode",
               .target = &d.mode,
               .meaning = "What stands in between: automatic learns it, else takes the safe mode"},
              {.key = "database.admin_database",
               .target = &d.admin_database,
               .meaning = "The pooler's console, asked for its version",
               .form = &forms::word}});
}

void add_pools(std::vector<option>& out, configuration& c) {
  db::config& d = c.database;
  const auto count = [&out](std::string_view key, std::size_t& target, std::int64_t low, std::int64_t high,
                            std::string_view meaning) {
    out.push_back({.key = key, .target = &target, .meaning = meaning, .low = low, .high = high});
  };
  const auto time = [&out](std::string_view key, std::chrono::milliseconds& target, std::int64_t low,
                           std::string_view meaning) {
    out.push_back({.key = key, .target = &target, .meaning = meaning, .low = low, .high = 5 * minute});
  };
  out.push_back({.key = "database.replicas",
                 .target = &d.replicas,
                 .meaning =
                     "Standbys that may answer reads, each by itself: like hosts, or \"alias@host:port\" "
                     "for a pooler's alias of one",
                 .high = 8});
  count("database.pipelines", d.pipelines, 1, 64, "Shared pipelined connections of one shard");
  count("database.leases", d.leases, 1, 64, "Exclusive connections of one shard, opened on demand");
  count("database.queue_limit", d.queue_limit, 1, 1'000'000, "Statements that wait for a pipeline");
  count("database.lease_queue_limit", d.lease_queue_limit, 1, 100'000, "Callers that wait for a lease");
  count("database.batch_limit", d.batch_limit, 1, 1'024, "Statements under one Sync");
  out.push_back({.key = "database.batch_bytes",
                 .target = &d.batch_bytes,
                 .meaning = "Parameter bytes under one Sync",
                 .low = kib,
                 .high = 16 * mib,
                 .mark = option_mark::bytes});
  count("database.batches_in_flight", d.batches_in_flight, 1, 64,
        "Batches on the way on one connection; always 1 in the safe mode");
  time("database.connect_timeout", d.connect_timeout, 100, "For one connection attempt");
  time("database.stall_limit", d.stall_limit, 100, "A pipeline whose head is older is replaced");
  time("database.heartbeat", d.heartbeat, 0, "Between looks at whether the primary is one; 0s: none");
  time("database.probe_interval", d.probe_interval, 10, "Between attempts while the database is down");
}

void add_migrate(std::vector<option>& out, configuration& c) {
  out.insert(out.end(),
             {{.key = "migrate.host",
               .target = &c.migrate.host,
               .meaning = "Host or directory of a Unix socket; empty: the first of database.hosts",
               .form = &forms::host},
              {.key = "migrate.port",
               .target = &c.migrate.port,
               .meaning = "PostgreSQL's own port",
               .low = 1,
               .high = 65'535},
              {.key = "migrate.database",
               .target = &c.migrate.database,
               .meaning = "The database itself, not an alias",
               .form = &forms::word},
              {.key = "migrate.user",
               .target = &c.migrate.user,
               .meaning = "Owner of the schema",
               .form = &forms::word},
              {.key = "migrate.password",
               .target = &c.migrate.password,
               .meaning = "Its password; empty: peer, trust or a passfile. Prefer password_file",
               .mark = option_mark::secret},
              {.key = "migrate.password_file",
               .target = &c.migrate.password_file,
               .meaning = "File whose first line is the password, instead of migrate.password",
               .mark = option_mark::file},
              {.key = "keys.file",
               .target = &c.keys.file,
               .meaning = "JWK Set with private members, as `pam-auth keys generate` writes it; read "
                          "again on SIGHUP",
               .mark = option_mark::file,
               .is_reloadable = true},
              {.key = "keys.encryption_key_file",
               .target = &c.keys.encryption_key_file,
               .meaning = "Key-encryption key of a sealed keys.file",
               .mark = option_mark::file,
               .is_reloadable = true},
              {.key = "keys.encryption_key_command",
               .target = &c.keys.encryption_key_command,
               .meaning = "Shell command that prints the key-encryption key, instead of a file",
               .is_reloadable = true}});
}

void add_maintain(std::vector<option>& out, configuration& c) {
  constexpr std::int64_t ten_years = 3'650 * day;
  out.insert(out.end(),
             {{.key = "maintain.keep_sessions",
               .target = &c.maintain.keep_sessions,
               .meaning = "Sessions; never less than tokens.absolute_lifetime, whatever stands here",
               .low = day,
               .high = ten_years},
              {.key = "maintain.keep_events",
               .target = &c.maintain.keep_events,
               .meaning = "The audit log",
               .low = day,
               .high = ten_years},
              {.key = "maintain.keep_tokens",
               .target = &c.maintain.keep_tokens,
               .meaning = "One-time tokens: links and codes",
               .low = hour,
               .high = ten_years},
              {.key = "maintain.keep_flows",
               .target = &c.maintain.keep_flows,
               .meaning = "States of sign-ins that take several requests",
               .low = hour,
               .high = ten_years},
              {.key = "maintain.keep_outbox",
               .target = &c.maintain.keep_outbox,
               .meaning = "Messages nobody could deliver",
               .low = hour,
               .high = ten_years},
              {.key = "maintain.report_interval",
               .target = &c.maintain.report_interval,
               .meaning = "How old a report may become before it is refreshed",
               .low = minute,
               .high = 7 * day},
              {.key = "maintain.bloat_percent",
               .target = &c.maintain.bloat_percent,
               .meaning = "An index that wastes more of its size is built anew, concurrently",
               .low = 10,
               .high = 95},
              {.key = "maintain.bloat_bytes",
               .target = &c.maintain.bloat_bytes,
               .meaning = "Indexes smaller than this are left alone",
               .low = 0,
               .high = 1'024 * 1'024 * mib,
               .mark = option_mark::bytes},
              {.key = "maintain.step_limit",
               .target = &c.maintain.step_limit,
               .meaning = "Longest time of one statement of maintenance",
               .low = second,
               .high = day}});
}

void add_tokens(std::vector<option>& out, configuration& c) {
  out.insert(out.end(),
             {{.key = "tokens.access_lifetime",
               .target = &c.tokens.access_lifetime,
               .meaning = "Lifetime of an access token",
               .low = 180 * second,
               .high = day},
              {.key = "tokens.idle_lifetime",
               .target = &c.tokens.idle_lifetime,
               .meaning = "A session without a refresh ends after this",
               .low = 5 * minute,
               .high = 730 * day},
              {.key = "tokens.absolute_lifetime",
               .target = &c.tokens.absolute_lifetime,
               .meaning = "Every session ends after this, however active",
               .low = 5 * minute,
               .high = 730 * day},
              {.key = "tokens.reuse_interval",
               .target = &c.tokens.reuse_interval,
               .meaning = "A refresh token repeated within it gets the identical successor again",
               .high = 5 * minute},
              {.key = "tokens.lost_response_window",
               .target = &c.tokens.lost_response_window,
               .meaning = "So does one whose successor was never used, three times at most",
               .high = day},
              {.key = "tokens.audience",
               .target = &c.tokens.audience,
               .meaning = "The aud claim",
               .form = &forms::word},
              {.key = "tokens.role",
               .target = &c.tokens.role,
               .meaning = "The role claim of signed-in users",
               .form = &forms::word},
              {.key = "tokens.admin_roles",
               .target = &c.tokens.admin_roles,
               .meaning = "Roles of machine tokens that may administer; no account can have one",
               .high = 16,
               .form = &forms::word},
              {.key = "admin.allow_unbounded",
               .target = &c.admin.allow_unbounded,
               .meaning = "Accept machine tokens without exp and aud, as older installations made them"},
              {.key = "oauth.clients",
               .target = &c.oauth.clients,
               .meaning = "Resource servers that may introspect and revoke tokens",
               .high = 256,
               .form = &forms::oauth_client}});
}

void add_accounts(std::vector<option>& out, configuration& c) {
  out.insert(
      out.end(),
      {{.key = "hash.threads",
        .target = &c.hash.threads,
        .meaning = "Hashing threads of the host, divided by hash.processes; 0: half the cores",
        .high = 1'024},
       {.key = "hash.processes",
        .target = &c.hash.processes,
        .meaning = "Processes of this host, each of which takes its part of hash.threads, at least one; "
                   "0: all of server.processes",
        .high = 1'000},
       {.key = "hash.queue_limit",
        .target = &c.hash.queue_limit,
        .meaning = "Passwords that wait for a thread; the next one is answered 503 at once",
        .low = 1,
        .high = 100'000},
       {.key = "hash.max_wait",
        .target = &c.hash.max_wait,
        .meaning =
            "A password that would wait longer for a thread is answered 503, at once if that can be foreseen",
        .low = 10,
        .high = minute},
       {.key = "hash.memory_kib",
        .target = &c.hash.memory_kib,
        .meaning = "Memory of one hash in KiB",
        .low = 8,
        .high = 4 * mib},
       {.key = "hash.passes", .target = &c.hash.passes, .meaning = "Passes over it", .low = 1, .high = 64},
       {.key = "password.min_length",
        .target = &c.password.min_length,
        .meaning = "Code points of a new password; 15 are recommended without a second factor",
        .low = 6,
        .high = 64},
       {.key = "password.require_current",
        .target = &c.password.require_current,
        .meaning = "Changing a password asks for the current one"},
       {.key = "password.breach_url",
        .target = &c.password.breach_url,
        .meaning =
            "Asked whether a new password was stolen, by the first 20 bits of its SHA-1 (the range API of "
            "Have I Been Pwned, \"https://api.pwnedpasswords.com/range\"); empty: nobody is",
        .form = &forms::https_service},
       {.key = "password.breach_timeout",
        .target = &c.password.breach_timeout,
        .meaning = "A password of which nothing is known after this is allowed",
        .low = 50,
        .high = 5 * second},
       {.key = "password.breach_ca_file",
        .target = &c.password.breach_ca_file,
        .meaning = "Certificates its own must be signed by; empty: the system's",
        .mark = option_mark::file},
       {.key = "password.breach_networks",
        .target = &c.password.breach_networks,
        .meaning = "Private networks it may lie in; other private addresses are not asked",
        .high = 16,
        .form = &forms::network},
       {.key = "accounts.signup_enabled",
        .target = &c.accounts.signup_enabled,
        .meaning = "Anyone may create an account"},
       {.key = "accounts.auto_confirm",
        .target = &c.accounts.auto_confirm,
        .meaning = "New addresses count as confirmed at once; this reveals which are taken"},
       {.key = "accounts.email_enabled",
        .target = &c.accounts.email_enabled,
        .meaning = "Sign in with an email address"},
       {.key = "mail.folder",
        .target = &c.mail.folder,
        .meaning = "For development: mail is written here instead of sent"},
       {.key = "rate_limits.read_per_minute",
        .target = &c.rate_limits.read_per_minute,
        .meaning = "Requests that read; the burst is ten seconds' worth",
        .high = 60'000'000},
       {.key = "rate_limits.write_per_minute",
        .target = &c.rate_limits.write_per_minute,
        .meaning = "Requests that write; the burst is ten seconds' worth",
        .high = 60'000'000},
       {.key = "rate_limits.hash_per_minute",
        .target = &c.rate_limits.hash_per_minute,
        .meaning = "Requests with a password; the burst is a minute's worth, and a quarter of "
                   "admission.hash may run at the same time",
        .high = 60'000'000},
       {.key = "rate_limits.unlimited",
        .target = &c.rate_limits.unlimited,
        .meaning = "Networks without these limits, such as a proxy's that limits by itself",
        .high = 64,
        .form = &forms::network},
       {.key = "log.level",
        .target = &c.log.level,
        .meaning = "The least severe level that is written",
        .is_reloadable = true,
        .choices = log_levels},
       {.key = "log.file",
        .target = &c.log.file,
        .meaning = "File the lines go to, reopened on SIGHUP; empty: standard output"},
       {.key = "log.flood_limit",
        .target = &c.log.flood_limit,
        .meaning = "Warnings and errors a second of the same event; the rest is counted",
        .low = 1,
        .high = 100'000,
        .is_reloadable = true},
       {.key = "log.slow_request",
        .target = &c.log.slow_request,
        .meaning = "A request that took this long gets a line at warn with all its times; 0s: none does",
        .high = hour,
        .is_reloadable = true}});
}

void add_tracing(std::vector<option>& out, configuration& c) {
  out.insert(out.end(),
             {{.key = "tracing.endpoint",
               .target = &c.tracing.endpoint,
               .meaning = "Where spans are sent, as \"http://127.0.0.1:4318/v1/traces\"; empty: no tracing",
               .form = &forms::collector},
              {.key = "tracing.sample_percent",
               .target = &c.tracing.sample_percent,
               .meaning = "Of the traces that begin here; a caller's own choice is obeyed",
               .high = 100},
              {.key = "tracing.queue_limit",
               .target = &c.tracing.queue_limit,
               .meaning = "Spans that wait for the collector; what does not fit is dropped and counted",
               .low = 1,
               .high = 1'000'000}});
}

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
  add_tokens(out, settings);
  add_accounts(out, settings);
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
