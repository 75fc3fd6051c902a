#pragma once

#include <strings.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/ip/address.hpp>
#include <boost/intrusive/list.hpp>

#include "server/net/detail/request_reader.hpp"
#include "server/net/detail/socket_stream.hpp"
#include "server/net/detail/timer_wheel.hpp"

namespace pam::net::detail {

/// What a connection waits for; each phase has its own time limit.
enum class phase : std::uint8_t {
  proxy_header,  ///< of a trusted proxy, before anything else
  handshake,
  idle,       ///< no byte of a request yet: no exchange, no buffer
  head,       ///< a request has begun
  body,       ///< its head is complete
  running,    ///< a coroutine answers it and owns the exchange
  writing,    ///< the peer does not read as fast as we write
  lingering,  ///< everything is said; the peer's last bytes are dropped so that no RST destroys the answer
};

/// The client counts the promised keep-alive time from the arrival of the answer: a request it sends in
/// the last moment is still under way when the promise ends here.
inline constexpr std::chrono::milliseconds keep_alive_margin{1'000};

/// What the socket would not take of an answer at once.
struct unsent {
  /// @param all_rest  outlives this: it lies in the connection's exchange, or the exchange shares it
  unsent(std::string_view all_joined, std::string_view all_rest, std::size_t taken)
      : joined(all_joined.substr(std::min(taken, all_joined.size()))),
        rest(all_rest.substr(taken - (all_joined.size() - joined.size()))) {}
  unsent(const unsent&) = delete;
  unsent& operator=(const unsent&) = delete;
  ~unsent() { ::explicit_bzero(joined.data(), joined.size()); }  // tokens

  std::string joined;     ///< of its head, with a small body
  std::string_view rest;  ///< of a large body
  std::size_t sent = 0;   ///< of both
  std::size_t mark = 0;   ///< `sent` when the write limit was last renewed
};

/// One client connection. Small while idle: OpenSSL's object is what it costs.
struct connection : timer_wheel::node {
  using list_hook =
      boost::intrusive::list_member_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  connection(unique_fd socket, const boost::asio::ip::address& from)
      : stream(std::move(socket)), peer(from) {}

  list_hook all;
  list_hook ended;  ///< linked: the peer has left, which is told of and not served yet
  socket_stream stream;
  std::unique_ptr<exchange> current;  ///< while reading and writing, not while running
  std::unique_ptr<unsent> outgoing;   ///< while writing
  /// What arrived behind the request being answered, or so far of a PROXY header.
  std::unique_ptr<std::string> pipelined;
  boost::asio::ip::address peer;
  std::size_t held = 0;      ///< its share of `limits::incomplete_bytes`
  std::uint32_t events = 0;  ///< what epoll watches
  detail::phase phase = phase::idle;
  bool closes_after = false;   ///< the answer under way is the last
  bool lingers_after = false;  ///< ... and the peer may still be sending
};

/// architecture.md "What makes it different", 4: no more than half a KiB of ours beside OpenSSL's object.
static_assert(sizeof(connection) <= 192);

}  // namespace pam::net::detail
