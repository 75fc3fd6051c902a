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
/// from them. What is not accepted waits in the kernel's backlog (4096).
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
  [[nodiscard]] boost::system::result<void, listen_error> adopt(unique_fd listening);
  [[nodiscard]] std::uint16_t port() const;  ///< of the first
  [[nodiscard]] bool is_listening() const { return !sockets_.empty(); }
  [[nodiscard]] std::span<const unique_fd> sockets() const { return sockets_; }
  void close() { sockets_.clear(); }

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
  [[nodiscard]] connection accept_from(const unique_fd& listening);
  void shed_one(const unique_fd& listening);

  std::size_t connections_;
  bool is_tls_;
  handshake_budget budget_;
  bool holds_token_ = false;  ///< taken for a connection that was not there
  std::uint8_t paused_ = 0;
  std::vector<unique_fd> sockets_;
  std::size_t next_ = 0;  ///< socket whose turn it is
  unique_fd reserve_;     ///< given up for a moment when the process has no descriptor left
};

}  // namespace pam::net::detail
