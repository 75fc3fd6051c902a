// Accepting: when, how many, and what waits in the backlog.
#include <array>
#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "async/counting.hpp"
#include "server/net/detail/connection_set.hpp"
#include "server/net/detail/proxy_header.hpp"

namespace pam::net::detail {

using async::count;
namespace {

/// Connections taken in one wake-up, after those that are there already: some 0.2 ms, and more than there are
/// handshakes in a turn.
constexpr int accepts_per_wake_up = 16;
/// A server that is full again and again says so this often.
constexpr std::chrono::minutes telling_pause{1};

}  // namespace

void connection_set::accept_some() {
  if (!acceptor_.is_listening()) return;
  if (acceptor_.is_paused_by(acceptor::reason::connections)) return shed_some();
  for (int i = 0; i < accepts_per_wake_up; ++i) {
    acceptor::connection made = acceptor_.accept(open_, now_);
    if (made.has_left) {
      count(stats.left_waiting);
      continue;
    }
    if (!made.socket) break;
    admit(std::move(made));
  }
  if (!acceptor_.is_paused()) return;
  if (acceptor_.is_paused_by(acceptor::reason::handshakes)) {
    wait_for_handshakes();
  } else {
    count(stats.accept_paused);
  }
  if (acceptor_.is_paused_by(acceptor::reason::connections)) wait_to_shed();
  watch_listener();
}

void connection_set::shed_some() {
  const std::size_t shed = acceptor_.shed(now_);
  if (shed != 0) {
    count(stats.shed, shed);
    tell_of_shedding();
  }
  wait_to_shed();
  watch_listener();
}

void connection_set::tell_of_shedding() {
  if (acceptor_.times_full() == told_of_ || now_ < told_next_) return;
  told_of_ = acceptor_.times_full();
  told_next_ = now_ + telling_pause;
  application_.shedding(bounds_.connections);
}

void connection_set::admit(acceptor::connection from) {
  auto made = std::make_unique<connection>(std::move(from.socket), from.peer);
  const bool is_proxied = expects_proxy_header_ && trusted_.contain(made->peer);
  if (is_proxied) {
    made->phase = phase::proxy_header;
  } else {
    made->phase = tls_ != nullptr ? phase::handshake : phase::idle;
  }
  epoll_event event{};
  event.events = made->events = is_newcomer(*made) ? to_read : to_read_new;
  event.data.ptr = made.get();
  if (::epoll_ctl(set_of(*made), EPOLL_CTL_ADD, made->stream.descriptor(), &event) != 0) return;

  connection& admitted = *made.release();  // owned by the list from here
  connections_.push_back(admitted);
  ++open_;
  if (is_newcomer(admitted)) ++coming_;
  count(stats.accepted);
  count(stats.open);
  if (is_proxied) {
    expire_after(admitted, bounds_.header);
  } else {
    begin_stream(admitted);
  }
}

// After accepting, or after the PROXY header.
void connection_set::begin_stream(connection& from) {
  if (tls_ != nullptr) {
    from.phase = phase::handshake;
    expire_after(from, bounds_.handshake);
  } else if (is_newcomer(from)) {
    settle(from);
  } else {
    expire_after(from, bounds_.keep_alive + keep_alive_margin);
  }
}

/// From the newcomers to those who are in. `false`: the kernel has no room for it, the connection is gone.
bool connection_set::settle(connection& from) {
  ::epoll_ctl(newcomers_.get(), EPOLL_CTL_DEL, from.stream.descriptor(), nullptr);
  --coming_;
  from.phase = phase::idle;
  epoll_event event{};
  event.events = from.events = to_read_new;
  event.data.ptr = &from;
  if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, from.stream.descriptor(), &event) != 0) {
    from.stream.abort();
    destroy(from);
    return false;
  }
  expire_after(from, bounds_.keep_alive + keep_alive_margin);
  return true;
}

// The bytes behind the header are OpenSSL's, which reads from the socket itself: look first, take then.
void connection_set::on_proxy_header(connection& from) {
  std::array<char, proxy_header_limit> room;
  const io_result seen = from.stream.peek(room);
  if (seen.what == io_result::status::want_read) return;
  if (seen.what != io_result::status::done) return refuse_proxy_header(from);
  if (!from.pipelined) from.pipelined = std::make_unique<std::string>();
  std::string& bytes = *from.pipelined;
  const std::size_t before = bytes.size();
  bytes.append(room.data(), seen.bytes);
  proxy_header header = read_proxy_header(bytes);
  if (header.what == proxy_header::outcome::refused) return refuse_proxy_header(from);
  const bool is_found = header.what == proxy_header::outcome::found;
  // What was just seen is there: fewer bytes would mean that somebody else reads this socket.
  const std::size_t wanted = (is_found ? header.length : bytes.size()) - before;
  const io_result taken = from.stream.read_raw({room.data(), wanted});
  if (taken.what != io_result::status::done || taken.bytes != wanted) return refuse_proxy_header(from);
  if (!is_found) return;
  from.pipelined = nullptr;
  if (header.client) from.peer = *header.client;
  begin_stream(from);
}

void connection_set::refuse_proxy_header(connection& from) {
  count(stats.refused_proxy_header);
  from.stream.abort();
  destroy(from);
}

void connection_set::stop_accepting(backlog waiting) {
  if (!acceptor_.is_listening()) return;
  if (waiting == backlog::handed_over) return close_listener();
  // What the kernel has completed would be reset by the close: serve it, with `Connection: close`.
  for (;;) {
    acceptor::connection made = acceptor_.accept_last(open_);
    if (!made.socket) break;
    admit(std::move(made));
  }
  close_listener();
}

void connection_set::close_listener() {
  // Another process may hold the same socket: closing ours would leave it in the epoll set, and its
  // connections would wake us for ever.
  if (acceptor_.is_listening() && is_started_) {
    for (const unique_fd& each : acceptor_.sockets()) {
      ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_DEL, each.get(), nullptr);
    }
  }
  acceptor_.close();
}

void connection_set::resume_accepting(acceptor::reason why) {
  acceptor_.resume(why, now_);
  watch_listener();
}

void connection_set::watch_listener() {
  const bool is_wanted = !acceptor_.is_paused() || acceptor_.may_shed(now_);
  const std::uint32_t wanted = is_wanted ? EPOLLIN : 0;
  if (!acceptor_.is_listening() || !is_started_ || wanted == listener_events_) return;
  epoll_event event{};
  event.events = wanted;
  // Cannot fail for registered descriptors.
  for (const unique_fd& each : acceptor_.sockets()) {
    ::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_MOD, each.get(), &event);
  }
  listener_events_ = wanted;
}

void connection_set::wait_for_handshakes() {
  handshake_pause_.expires_after(handshake_budget::pause);
  handshake_pause_.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (failure || self->is_shut_down_) return;
    self->resume_accepting(acceptor::reason::handshakes);
  });
}

void connection_set::wait_to_shed() {
  // Places that come and go do not move the moment: one wait for all of them.
  const clock::time_point from = acceptor_.shed_from();
  if (acceptor_.may_shed(now_) || from == shed_timer_.expiry()) return;
  shed_timer_.expires_at(from);
  shed_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (failure || self->is_shut_down_) return;
    self->now_ = clock::now();
    self->watch_listener();
  });
}

}  // namespace pam::net::detail
