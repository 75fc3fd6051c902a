#pragma once

#include <openssl/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "server/net/unique_fd.hpp"

namespace pam::net::detail {

/// Result of one non-blocking operation.
struct io_result {
  enum class status : std::uint8_t { done, want_read, want_write, ended, failed } what = status::failed;
  std::size_t bytes = 0;  ///< with `done`: at least one for reads and writes
};

/// One non-blocking connected socket, plain or under TLS. Never raises SIGPIPE. No buffer of its own;
/// OpenSSL's are released while nothing is in them.
class socket_stream {
 public:
  /// Plaintext until `begin_tls()`.
  explicit socket_stream(unique_fd socket) : socket_(std::move(socket)) {}
  /// OpenSSL reads and writes through this object's address.
  socket_stream(const socket_stream&) = delete;
  socket_stream& operator=(const socket_stream&) = delete;
  ~socket_stream() = default;

  /// Whether the first record of a TLS handshake is there, which stays in the kernel until it is: what has
  /// only begun to arrive costs no memory of ours. True as well for bytes that are no TLS, and for a record
  /// that stopped growing: OpenSSL will say what is wrong with them. While it is false the socket counts as
  /// readable only with more bytes, or with the peer's end.
  [[nodiscard]] bool has_hello();
  /// From now on the bytes are OpenSSL's. Before anything was read or written.
  /// @return false when OpenSSL has no memory
  [[nodiscard]] bool begin_tls(SSL_CTX* context);
  [[nodiscard]] io_result handshake();
  /// @param into  not empty
  [[nodiscard]] io_result read(std::span<char> into);
  /// @param from  not empty. Under TLS at most one record (16 KiB) is taken.
  [[nodiscard]] io_result write(std::string_view from);
  /// Reads and drops what the peer still sends after the answer; `ended` when it closed.
  [[nodiscard]] io_result discard();

  /// Looks at bytes the peer sent outside of TLS, and leaves them to be read.
  /// @param into  not empty
  [[nodiscard]] io_result peek(std::span<char> into);
  /// Reads from the socket itself: the bytes outside of TLS, and OpenSSL its records.
  [[nodiscard]] io_result read_raw(std::span<char> into);

  /// Bytes wait inside OpenSSL, or may wait in the socket, since the last read got all it had room for. Of
  /// neither would an edge-triggered epoll tell.
  [[nodiscard]] bool has_pending() const;
  /// Whether the socket is ready for one of these epoll events now, or its peer is gone.
  [[nodiscard]] bool is_ready(std::uint32_t events) const;
  [[nodiscard]] bool is_tls() const { return ssl_ != nullptr; }
  [[nodiscard]] bool is_open() const { return static_cast<bool>(socket_); }
  [[nodiscard]] int descriptor() const { return socket_.get(); }

  /// Tells the peer that nothing more will come: close_notify, then FIN. Reading stays possible.
  void end_sending();
  void close();
  /// Closes with RST: what the peer did not read is dropped from the kernel at once.
  void abort();

 private:
  struct ssl_delete {
    void operator()(SSL* ssl) const;
  };
  [[nodiscard]] io_result explain(int outcome);
  [[nodiscard]] io_result explain_transfer();
  [[nodiscard]] io_result receive(std::span<char> into, int flags);

  unique_fd socket_;
  std::unique_ptr<SSL, ssl_delete> ssl_;
  bool is_established_ = false;  ///< close_notify may be sent
  bool is_full_ = false;         ///< the last read of the socket got all it had room for
  std::uint16_t low_water_ = 0;  ///< SO_RCVLOWAT, while has_hello() waits for so many bytes
};

}  // namespace pam::net::detail
