#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include <boost/asio/ip/address.hpp>
#include <boost/system/result.hpp>

#include "server/net/config.hpp"
#include "server/net/detail/handshake_budget.hpp"
#include "server/net/detail/unique_fd.hpp"
#include "server/net/http_server.hpp"

namespace pam::net::detail {

/// The listening socket of one server and the decision when to accept from it. What is not accepted
/// waits in the kernel's backlog (4096).
class acceptor {
 public:
  using clock = std::chrono::steady_clock;
  enum class reason : std::uint8_t { connections = 1, descriptors = 2, handshakes = 4 };

  struct connection {
    unique_fd socket;
    boost::asio::ip::address peer;  ///< IPv4-mapped addresses as IPv4
  };

  acceptor(const limits& bounds, bool is_tls);

  [[nodiscard]] boost::system::result<void, listen_error> listen(const listener_config& where);
  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] bool is_listening() const { return static_cast<bool>(socket_); }
  [[nodiscard]] int descriptor() const { return socket_.get(); }
  void close() { socket_.reset(); }

  /// Accepts one connection if the limits allow; an empty one when the backlog is empty or a limit was
  /// reached (then `is_paused()`).
  /// @param open  connections now
  [[nodiscard]] connection accept(std::size_t open, clock::time_point now);
  /// Accepts without the handshake budget: what already waits when a server stops listening.
  [[nodiscard]] connection accept_last(std::size_t open);

  [[nodiscard]] bool is_paused() const { return paused_ != 0; }
  [[nodiscard]] bool is_paused_by(reason why) const { return (paused_ & bit(why)) != 0; }
  void resume(reason why) { paused_ &= static_cast<std::uint8_t>(~bit(why)); }

 private:
  static constexpr std::uint8_t bit(reason why) { return static_cast<std::uint8_t>(why); }
  void pause(reason why) { paused_ |= bit(why); }
  void shed_one();

  std::size_t connections_;
  bool is_tls_;
  handshake_budget budget_;
  bool holds_token_ = false;  ///< taken for a connection that was not there
  std::uint8_t paused_ = 0;
  unique_fd socket_;
  unique_fd reserve_;  ///< given up for a moment when the process has no descriptor left
};

}  // namespace pam::net::detail
