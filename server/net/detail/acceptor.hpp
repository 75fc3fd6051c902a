#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <boost/asio/ip/address.hpp>
#include <boost/system/result.hpp>

#include "server/net/config.hpp"
#include "server/net/detail/handshake_budget.hpp"
#include "server/net/http_server.hpp"
#include "server/net/unique_fd.hpp"

namespace pam::net::detail {

/// The listening sockets of one server (one, unless it took over more) and the decision when to accept
/// from them. What is not accepted waits in the kernel's backlog (4096); once the server has been full for
/// `limits::full_grace`, it is reset (docs/adr/0072).
class acceptor {
 public:
  using clock = std::chrono::steady_clock;
  enum class reason : std::uint8_t { connections = 1, descriptors = 2, handshakes = 4 };

  struct connection {
    unique_fd socket;
    boost::asio::ip::address peer;  ///< IPv4-mapped addresses as IPv4
    bool has_left = false;          ///< there was one, whose client gave up while it waited: no socket
  };

  acceptor(const limits& bounds, bool is_tls);

  [[nodiscard]] boost::system::result<void, listen_error> listen(const listener_config& where);
  [[nodiscard]] boost::system::result<void, listen_error> adopt(unique_fd listening);
  [[nodiscard]] std::uint16_t port() const;  ///< of the first
  [[nodiscard]] bool is_listening() const { return !sockets_.empty(); }
  [[nodiscard]] std::span<const unique_fd> sockets() const { return sockets_; }
  void close() { sockets_.clear(); }

  /// Accepts one connection if the limits allow; an empty one when the backlog is empty or a limit was
  /// reached (then `is_paused()`). Under TLS a client that left while it had to wait costs no handshake.
  /// @param open  connections now
  [[nodiscard]] connection accept(std::size_t open, clock::time_point now);
  /// Accepts without the handshake budget: what already waits when a server stops listening.
  [[nodiscard]] connection accept_last(std::size_t open);

  /// Resets what waits while all connections are open: 64 at most, so that those who are served get their
  /// turn; after so many, `may_shed()` is false for 10 ms.
  /// @return how many
  [[nodiscard]] std::size_t shed(clock::time_point now);
  [[nodiscard]] bool may_shed(clock::time_point now) const {
    return paused_ == bit(reason::connections) && now >= shed_from_;
  }
  /// When it may, should it stay paused until then.
  [[nodiscard]] clock::time_point shed_from() const { return shed_from_; }
  /// Times the server became full, those within `limits::full_grace` of the last one counted as one.
  [[nodiscard]] std::uint64_t times_full() const { return times_full_; }

  [[nodiscard]] bool is_paused() const { return paused_ != 0; }
  [[nodiscard]] bool is_paused_by(reason why) const { return (paused_ & bit(why)) != 0; }
  void resume(reason why, clock::time_point now);

 private:
  static constexpr std::uint8_t bit(reason why) { return static_cast<std::uint8_t>(why); }
  void pause(reason why) { paused_ |= bit(why); }
  void become_full(clock::time_point now);
  [[nodiscard]] connection take();
  [[nodiscard]] connection accept_from(const unique_fd& listening);
  void shed_one(const unique_fd& listening);

  std::size_t connections_;
  std::chrono::milliseconds full_grace_;
  bool is_tls_;
  handshake_budget budget_;
  bool holds_token_ = false;    ///< taken for a connection that was not there
  bool is_backlogged_ = false;  ///< accepting was paused, and the backlog not yet found empty since
  clock::time_point shed_from_;
  clock::time_point room_since_;
  std::uint64_t times_full_ = 0;
  std::uint8_t paused_ = 0;
  std::vector<unique_fd> sockets_;
  std::size_t next_ = 0;  ///< socket whose turn it is
  unique_fd reserve_;     ///< given up for a moment when the process has no descriptor left
};

}  // namespace pam::net::detail
