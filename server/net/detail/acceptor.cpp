#include "server/net/detail/acceptor.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include <boost/asio/ip/tcp.hpp>

#include "server/net/detail/socket_stream.hpp"

namespace pam::net::detail {
namespace {

namespace ip = boost::asio::ip;

constexpr int backlog = 4096;

/// Together: a tenth of a core at most (a reset took 15 us), and a whole backlog in 0.64 s.
constexpr std::size_t sheds_at_once = 64;
constexpr std::chrono::milliseconds shed_pause{10};

/// A missing file table entry is reported as one of these by accept(2); all mean "later".
bool is_out_of_resources(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

unique_fd open_reserve() {
  return unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
}

listen_error failure(const listener_config& where, const char* step, int error) {
  listen_error made;
  made.message = "cannot " + std::string(step) + " " + where.address + " port " + std::to_string(where.port) +
                 ": " + std::strerror(error);
  made.address_in_use = error == EADDRINUSE;
  if (made.address_in_use) made.message += "; stop the process that uses it or choose another listen.port";
  if (error == EACCES) made.message += "; ports below 1024 need CAP_NET_BIND_SERVICE";
  if (error == EADDRNOTAVAIL) made.message += "; no interface of this host has this address";
  return made;
}

bool enable(int socket, int level, int option) {
  const int on = 1;
  return ::setsockopt(socket, level, option, &on, sizeof(on)) == 0;
}

/// Accepted sockets inherit it. The kernel would let a peer that does not read make it megabytes, and ten
/// thousand of those exhaust what the machine may hold for TCP, for everybody (docs/adr/0065).
bool bound_send_buffer(int socket) {
  constexpr int bytes = 32 * 1024;  // the kernel doubles it, for its own structures
  return ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes)) == 0;
}

bool set_options(int socket, const listener_config& where, const ip::address& address) {
  // Accepted sockets inherit TCP_NODELAY: one system call saved for each.
  if (!enable(socket, SOL_SOCKET, SO_REUSEADDR) || !enable(socket, IPPROTO_TCP, TCP_NODELAY)) return false;
  if (!bound_send_buffer(socket)) return false;
  if (where.reuse_port && !enable(socket, SOL_SOCKET, SO_REUSEPORT)) return false;
  if (!address.is_v6()) return true;
  // "::" serves IPv4 too, whatever net.ipv6.bindv6only says; any other address is IPv6 alone.
  const int only = address.is_unspecified() ? 0 : 1;
  return ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) == 0;
}

/// The client closed or reset. Before the handshake even the end of its sending alone says so.
bool has_left(int socket) {
  pollfd asked{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return ::poll(&asked, 1, 0) == 1 && (asked.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

void reset(unique_fd socket) {
  socket_stream(std::move(socket)).abort();
}

ip::address to_address(const sockaddr_storage& from) {
  if (from.ss_family == AF_INET) {
    sockaddr_in in{};
    std::memcpy(&in, &from, sizeof(in));
    return ip::address_v4(ntohl(in.sin_addr.s_addr));
  }
  sockaddr_in6 in{};
  std::memcpy(&in, &from, sizeof(in));
  ip::address_v6::bytes_type bytes{};
  std::memcpy(bytes.data(), &in.sin6_addr, bytes.size());
  const ip::address_v6 address(bytes, in.sin6_scope_id);
  if (address.is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, address);
  return address;
}

}  // namespace

acceptor::acceptor(const limits& bounds, bool is_tls)
    : connections_(bounds.connections),
      full_grace_(bounds.full_grace),
      is_tls_(is_tls),
      budget_(bounds.handshakes_per_second, clock::now()),
      reserve_(open_reserve()) {}

boost::system::result<void, listen_error> acceptor::listen(const listener_config& where) {
  boost::system::error_code ignored;
  const ip::address address = ip::make_address(where.address, ignored);
  if (ignored) {
    listen_error made;
    made.message =
        "\"" + where.address + "\" is no IP address: listen.address takes one such as 0.0.0.0, ::, 127.0.0.1";
    return made;
  }
  const ip::tcp::endpoint endpoint(address, where.port);
  unique_fd socket(
      ::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!socket) return failure(where, "open a socket for", errno);
  if (!set_options(socket.get(), where, address)) return failure(where, "configure", errno);
  if (::bind(socket.get(), endpoint.data(), static_cast<socklen_t>(endpoint.size())) != 0) {
    return failure(where, "bind", errno);
  }
  if (::listen(socket.get(), backlog) != 0) return failure(where, "listen on", errno);
  sockets_.push_back(std::move(socket));
  return {};
}

boost::system::result<void, listen_error> acceptor::adopt(unique_fd listening) {
  const auto option = [&listening](int name) {
    int value = -1;
    socklen_t size = sizeof(value);
    return ::getsockopt(listening.get(), SOL_SOCKET, name, &value, &size) == 0 ? value : -1;
  };
  const int family = option(SO_DOMAIN);
  if (option(SO_ACCEPTCONN) != 1 || option(SO_TYPE) != SOCK_STREAM ||
      (family != AF_INET && family != AF_INET6)) {
    listen_error made;
    made.message =
        "descriptor " + std::to_string(listening.get()) +
        ", given to listen on, is no listening TCP socket: in a socket unit, use ListenStream= with a port";
    return made;
  }
  const int flags = ::fcntl(listening.get(), F_GETFL);
  const bool is_ready = flags >= 0 && ::fcntl(listening.get(), F_SETFL, flags | O_NONBLOCK) == 0 &&
                        ::fcntl(listening.get(), F_SETFD, FD_CLOEXEC) == 0 &&
                        enable(listening.get(), IPPROTO_TCP, TCP_NODELAY) &&
                        bound_send_buffer(listening.get());
  if (!is_ready) {
    listen_error made;
    made.message =
        "a listening socket that was given cannot be configured: " + std::string(std::strerror(errno));
    return made;
  }
  sockets_.push_back(std::move(listening));
  return {};
}

std::uint16_t acceptor::port() const {
  ip::tcp::endpoint bound;
  auto size = static_cast<socklen_t>(bound.capacity());
  if (sockets_.empty() || ::getsockname(sockets_.front().get(), bound.data(), &size) != 0) return 0;
  return bound.port();
}

acceptor::connection acceptor::accept(std::size_t open, clock::time_point now) {
  if (is_paused()) return {};
  if (open >= connections_) {
    become_full(now);
    return {};
  }
  if (is_tls_ && !holds_token_) {
    holds_token_ = budget_.take(now);
    if (!holds_token_) {
      is_backlogged_ = true;
      pause(reason::handshakes);
      return {};
    }
  }
  connection made = take();
  if (!made.socket) {
    is_backlogged_ = is_paused();
    return made;
  }
  // Who was accepted without a wait is still there: the system call is for those who had to.
  if (is_tls_ && is_backlogged_ && has_left(made.socket.get())) {
    reset(std::move(made.socket));
    made.has_left = true;
    return made;
  }
  holds_token_ = false;
  return made;
}

void acceptor::become_full(clock::time_point now) {
  // A place that is free for a moment and taken by one who waited gives the others no new grace.
  if (times_full_ == 0 || now - room_since_ >= full_grace_) {
    ++times_full_;
    shed_from_ = now + full_grace_;
  }
  is_backlogged_ = true;
  pause(reason::connections);
}

void acceptor::resume(reason why, clock::time_point now) {
  if (why == reason::connections) room_since_ = now;
  paused_ &= static_cast<std::uint8_t>(~bit(why));
}

std::size_t acceptor::shed(clock::time_point now) {
  if (!may_shed(now)) return 0;
  std::size_t count = 0;
  while (count < sheds_at_once) {
    connection waiting = take();
    if (!waiting.socket) return count;
    reset(std::move(waiting.socket));
    ++count;
  }
  shed_from_ = now + shed_pause;
  return count;
}

acceptor::connection acceptor::accept_last(std::size_t open) {
  return open < connections_ ? take() : connection{};
}

acceptor::connection acceptor::take() {
  for (std::size_t tried = 0; tried < sockets_.size(); ++tried) {
    next_ = (next_ + 1) % sockets_.size();
    connection made = accept_from(sockets_[next_]);
    if (made.socket || is_paused_by(reason::descriptors)) return made;
  }
  return {};
}

acceptor::connection acceptor::accept_from(const unique_fd& listening) {
  for (;;) {
    sockaddr_storage peer{};
    socklen_t size = sizeof(peer);
    unique_fd socket(
        ::accept4(listening.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (socket) return {.socket = std::move(socket), .peer = to_address(peer)};
    // The peer left, or a network error of that one connection (accept(2)): the next may be fine.
    if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO) continue;
    if (is_out_of_resources(errno)) {
      shed_one(listening);
      is_backlogged_ = true;
      pause(reason::descriptors);
    }
    return {};
  }
}

void acceptor::shed_one(const unique_fd& listening) {
  // One waiting client learns at once that it should go elsewhere; the rest wait for descriptors.
  reserve_.reset();
  unique_fd refused(::accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  refused.reset();
  reserve_ = open_reserve();
}

}  // namespace pam::net::detail
