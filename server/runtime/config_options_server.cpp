#include "server/runtime/config_options.hpp"

#include <array>

#include "server/runtime/config_forms.hpp"

namespace pam::runtime {
namespace {

constexpr std::array<std::string_view, 2> profiles{"compatible", "strict"};
constexpr std::array<std::string_view, 4> log_levels{"debug", "info", "warn", "error"};
constexpr std::array<std::string_view, 2> proxy_protocols{"off", "required"};
constexpr std::array<std::string_view, 3> forwarded_headers{"off", "forwarded", "x-forwarded-for"};

}  // namespace

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

void add_log(std::vector<option>& out, configuration& c) {
  out.insert(
      out.end(),
      {{.key = "log.level",
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

}  // namespace pam::runtime
