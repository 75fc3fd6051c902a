#pragma once

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

namespace pam::load {

/// The client's TLS context: 1.2 and 1.3, the server's certificate as the only trust anchor, buffers
/// released while idle.
class tls_client {
 public:
  /// Throws when the file is no PEM certificate.
  /// @param keeps_sessions  every link keeps its newest ticket (some 2 KiB) and resumes with it
  tls_client(const std::string& certificate_file, bool keeps_sessions);
  ~tls_client();
  tls_client(const tls_client&) = delete;
  tls_client& operator=(const tls_client&) = delete;
  [[nodiscard]] ssl_ctx_st* native() const { return context_; }

 private:
  static int keep_session(ssl_st* connection, ssl_session_st* session);

  ssl_ctx_st* context_;
};

enum class link_state : std::uint8_t { closed, connecting, handshaking, ready };

/// One non-blocking TLS connection. Small while idle: the SSL object and 24 bytes.
class tls_link {
 public:
  enum class outcome : std::uint8_t { done, want_read, want_write, ended, failed };
  struct transfer {
    outcome what = outcome::failed;
    std::size_t bytes = 0;
  };

  tls_link() = default;
  tls_link(const tls_link&) = delete;
  tls_link& operator=(const tls_link&) = delete;
  ~tls_link();

  /// Begins to connect from `source`; port 0: one the system chooses. False: no descriptor, no route or the
  /// port is in use; the connection is closed then.
  bool open(const tls_client& context, const sockaddr_in& source, const sockaddr_in& target);
  /// Goes on with connecting and handshake: done once ready.
  outcome advance();
  transfer read(std::span<char> into);
  transfer write(std::string_view from);
  [[nodiscard]] bool has_pending() const;
  /// Whether the handshake resumed an earlier session. @pre the link is ready
  [[nodiscard]] bool is_resumed() const;
  void close();
  /// Closes without a TLS word to the peer; the session stays resumable.
  void abort();

  [[nodiscard]] int descriptor() const { return descriptor_; }
  [[nodiscard]] link_state state() const { return state_; }

 private:
  friend class tls_client;
  struct ssl_delete {
    void operator()(ssl_st* of) const;
  };
  struct session_delete {
    void operator()(ssl_session_st* of) const;
  };
  outcome explain(int result);

  std::unique_ptr<ssl_st, ssl_delete> ssl_;
  std::unique_ptr<ssl_session_st, session_delete> session_;  ///< to resume with; empty: none yet
  int descriptor_ = -1;
  link_state state_ = link_state::closed;
};

}  // namespace pam::load
