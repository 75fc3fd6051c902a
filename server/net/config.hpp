#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pam::net {

/// Limits and timeouts of one listener. Every limit is also a metric and a distinct refusal.
struct limits {
  std::size_t connections = 15'000;      ///< per shard; above it new ones wait, then are reset
  std::size_t header_bytes = 16 * 1024;  ///< request line and fields
  std::size_t header_fields = 100;
  std::size_t body_bytes = 64 * 1024;
  /// Memory of all requests of this server that have begun to arrive and are not complete, pipelined ones
  /// included; above it such a request is refused with 503. One that arrives at once needs none of it.
  std::size_t incomplete_bytes = 64 * 1024 * 1024;
  std::chrono::milliseconds handshake{5'000};
  std::chrono::milliseconds header{10'000};  ///< first byte of a request to the end of its header
  std::chrono::milliseconds body{20'000};    ///< end of header to end of body
  std::chrono::milliseconds write{
      20'000};  ///< an answer the peer does not read; again for every 64 KiB it took
  std::chrono::milliseconds keep_alive{75'000};  ///< promised in whole seconds, kept for one second more
  std::chrono::milliseconds request{10'000};     ///< the deadline handlers see
  /// A server that is full and stays so resets what waits in its backlog: a peak that passes sooner is not
  /// worth a reset, and a client that is told later waits for nothing.
  std::chrono::milliseconds full_grace{500};
  std::size_t handshakes_per_second =
      1'200;  ///< per shard; above it new connections wait in the backlog; 0: no limit
};

struct tls_config {
  std::string certificate_file;  ///< PEM chain
  std::string private_key_file;  ///< PEM
  std::string
      ticket_secret_file;  ///< 32 or more bytes shared by all processes; empty: random in each process
  /// PEM authorities: a client must show a certificate of theirs, and there are no session tickets, so that
  /// each connection proves it anew; empty: clients show nothing.
  std::string client_ca_file;
  std::string section = "tls";  ///< of the configuration the files are named in, for messages
};

struct listener_config {
  std::string address = "127.0.0.1";
  std::uint16_t port = 8443;
  bool is_tls = true;
  bool reuse_port = true;
  std::vector<std::string> trusted_proxies;  ///< CIDR; who may say on whose behalf it connects
  std::string proxy_protocol = "off";        ///< off | required (from trusted_proxies)
  std::string forwarded_header = "off";      ///< off | forwarded | x-forwarded-for (from trusted_proxies)
};

}  // namespace pam::net
