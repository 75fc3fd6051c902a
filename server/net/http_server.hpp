#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/result.hpp>

#include "async/deadline.hpp"
#include "server/net/config.hpp"
#include "server/net/service.hpp"
#include "server/net/tls.hpp"
#include "server/net/unique_fd.hpp"

namespace pam::net {

/// Counters of one server on one shard. Written on the shard, readable from any thread.
struct net_statistics {
  std::atomic<std::uint64_t> accepted{0};
  std::atomic<std::uint64_t> open{0};        ///< now
  std::atomic<std::uint64_t> handshakes{0};  ///< completed
  std::atomic<std::uint64_t> handshakes_failed{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> in_flight{0};           ///< now
  std::atomic<std::uint64_t> handler_exceptions{0};  ///< answered with a bare 500
  std::atomic<std::uint64_t> refused_malformed{0};
  std::atomic<std::uint64_t> refused_too_large{0};
  std::atomic<std::uint64_t> refused_memory{0};        ///< by `limits::incomplete_bytes`
  std::atomic<std::uint64_t> refused_proxy_header{0};  ///< connections whose PROXY header is missing or wrong
  std::atomic<std::uint64_t> hidden_clients{0};        ///< requests whose forwarding header names no address
  std::atomic<std::uint64_t> timed_out_proxy_header{0};
  std::atomic<std::uint64_t> timed_out_handshake{0};
  std::atomic<std::uint64_t> timed_out_header{0};
  std::atomic<std::uint64_t> timed_out_body{0};
  std::atomic<std::uint64_t> timed_out_write{0};
  std::atomic<std::uint64_t> idle_closed{0};
  std::atomic<std::uint64_t> accept_paused{0};  ///< times the connection limit or EMFILE stopped accepting
  std::atomic<std::uint64_t> shed{0};           ///< reset unserved, because all connections were open
  std::atomic<std::uint64_t> left_waiting{0};   ///< whose client left before they were accepted
  std::atomic<std::uint64_t> bytes_in{0};       ///< of HTTP, inside TLS
  std::atomic<std::uint64_t> bytes_out{0};
};

struct listen_error {
  std::string message;  ///< names address, port and cure
  bool address_in_use = false;
};
[[noreturn]] void throw_exception_from_error(const listen_error& failure,
                                             const boost::source_location& where);

/// What becomes of connections the kernel completed and nobody has accepted when a server stops listening.
enum class backlog : std::uint8_t {
  served,       ///< by this server: the last closing of a socket would reset them
  handed_over,  ///< by whoever else holds the same socket
};

/// HTTP/1.1 over TLS or plaintext on one listening socket, for one shard: listener, connection set,
/// parser, writer and timer wheel. A plaintext instance of it serves the internal port.
/// Shard: construct, call and destroy on the shard; `stats()` from any thread.
class http_server {
 public:
  /// @param tls  null for plaintext; must outlive the server (replace it with `use()`)
  http_server(boost::asio::io_context& context, listener_config where, limits bounds, const tls_context* tls,
              service& application);
  /// Closes every connection at once; `drain()` first is the kind way. A handler that still runs finishes
  /// into the void, and the service is not called for it any more (but must outlive its own coroutine).
  ~http_server();
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;

  /// Binds and listens. Nothing is accepted before `start()`.
  [[nodiscard]] boost::system::result<void, listen_error> listen();
  /// Listens on a socket that somebody else bound, a predecessor or the service manager, and that may be
  /// shared with them. Any number of times, instead of `listen()` or beside it.
  [[nodiscard]] boost::system::result<void, listen_error> adopt(unique_fd listening);
  /// The listening sockets, to be given to a successor.
  [[nodiscard]] std::span<const unique_fd> listeners() const;
  /// The bound port (useful when port 0 was asked for).
  [[nodiscard]] std::uint16_t port() const;
  void start();

  /// From now on connections are made with this context.
  void use(const tls_context* tls);

  /// Stops accepting and answers with `Connection: close`
  /// from now on. An idle connection is closed when the keep-alive time it was promised is over, since
  /// closing it earlier races with a request the client is already sending; what is left at `deadline` is
  /// cut. Completes when no connection is left and every handler has returned: a handler that ignores
  /// its own deadline holds it up. Afterwards nothing of the server keeps the io_context busy.
  /// May be called again meanwhile: the earliest deadline counts. A server that was never started just
  /// closes, and `start()` has no effect any more.
  boost::asio::awaitable<void> drain(async::deadline deadline, backlog waiting = backlog::served);

  [[nodiscard]] const net_statistics& stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::net
