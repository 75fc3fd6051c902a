// Answers: the coroutine of a request, the one write, and what follows it.
#include <strings.h>

#include <utility>

#include <boost/asio/post.hpp>

#include "async/counting.hpp"
#include "server/net/detail/connection_set.hpp"

namespace pam::net::detail {

using async::count;
using async::uncount;
namespace {

using status = io_result::status;

/// A slow reader gets the write limit again for each of these: slow is allowed, stuck is not.
constexpr std::size_t renewal_bytes = 64 * 1024;
constexpr std::chrono::milliseconds linger_time{2'000};

void become_internal_error(request_context& request) {
  request.out = {};
  request.out.status = 500;
  request.out.close = true;
}

}  // namespace

boost::asio::awaitable<void> connection_set::answer(std::shared_ptr<connection_set> self, connection* from,
                                                    std::unique_ptr<exchange> request) {
  bool has_failed = false;
  try {
    co_await self->application_.serve(*request);
  } catch (...) {
    // The one catch at the session edge: no detail may reach the client; `finished` sees the status.
    has_failed = true;
  }
  self->now_ = clock::now();
  try {
    self->on_answer(*from, std::move(request), has_failed);
  } catch (...) {
    // Out of memory; nothing throws once the connection is gone. Without this nobody would ever end it.
    self->lose(*from);
  }
}

void connection_set::on_answer(connection& to, std::unique_ptr<exchange> request, bool has_failed) {
  uncount(stats.in_flight);
  if (is_shut_down_) return destroy(to);
  if (has_failed) {
    count(stats.handler_exceptions);
    become_internal_error(*request);
  }
  to.current = std::move(request);
  if (!to.stream.is_open()) return lose(to);
  send_answer(to);
}

void connection_set::refuse(connection& to, const refusal& why) {
  exchange& request = *to.current;
  request.out = {};
  application_.refuse(request, why.status, why.code, why.detail);
  request.out.close = true;
  to.lingers_after = true;
  hold(to, 0);
  send_answer(to);
}

void connection_set::send_answer(connection& to) {
  const exchange& request = *to.current;
  const bool keeps_alive = request.keep_alive && !request.out.close && !is_draining_;
  to.closes_after = !keeps_alive;
  // A client that asked for the end is not sending; whoever is told of it may be.
  to.lingers_after = to.lingers_after || (!keeps_alive && request.keep_alive) || to.pipelined != nullptr;

  scratch_.clear();
  const std::string_view rest = writer_.write(request, keeps_alive, wall_now(), scratch_);
  to.phase = phase::writing;
  std::size_t sent = 0;
  const status outcome = write_on(to, scratch_, rest, sent);
  if (outcome == status::want_write) to.outgoing = std::make_unique<unsent>(scratch_, rest, sent);
  ::explicit_bzero(scratch_.data(), scratch_.size());  // tokens pass through here
  if (outcome == status::done) return on_sent(to);
  if (outcome != status::want_write) return lose(to);
  expire_after(to, bounds_.write);
  set_events(to, EPOLLOUT);
}

io_result::status connection_set::write_on(connection& to, std::string_view joined, std::string_view rest,
                                           std::size_t& sent) {
  while (sent < joined.size() + rest.size()) {
    const bool is_joined = sent < joined.size();
    const io_result put =
        to.stream.write(is_joined ? joined.substr(sent) : rest.substr(sent - joined.size()));
    if (put.what != status::done) return put.what;
    sent += put.bytes;
    count(stats.bytes_out, put.bytes);
  }
  return status::done;
}

bool connection_set::send_continue(connection& to) {
  constexpr std::string_view text = "HTTP/1.1 100 Continue\r\n\r\n";
  const io_result put = to.stream.write(text);
  // Nothing else is under way, so a socket that has no room for this is not worth a queue.
  if (put.what != status::done || put.bytes != text.size()) return false;
  count(stats.bytes_out, text.size());
  return true;
}

void connection_set::on_writable(connection& to) {
  unsent& left = *to.outgoing;
  const status outcome = write_on(to, left.joined, left.rest, left.sent);
  if (outcome == status::want_write) {
    if (left.sent - left.mark >= renewal_bytes) {
      left.mark = left.sent;
      expire_after(to, bounds_.write);
    }
    return;
  }
  if (outcome != status::done) return lose(to);
  to.outgoing = nullptr;
  on_sent(to);
}

void connection_set::on_sent(connection& to) {
  finish(to, true);
  if (to.closes_after) return end(to);
  await_next(to);
}

void connection_set::finish(connection& to, bool was_sent) {
  // Only what became a request is reported: a peer that vanishes inside a header is a connection's matter.
  const bool is_answer = to.phase == phase::running || to.phase == phase::writing;
  if (to.current && is_answer && !is_shut_down_) application_.finished(*to.current, was_sent);
  recycle(std::move(to.current));
}

void connection_set::await_next(connection& from) {
  // Read-ahead may have brought it with the last one; epoll would not tell.
  if (from.pipelined || from.stream.has_pending()) {
    // A handler that does not suspend runs inside dispatch(): served from here, each pipelined request
    // would stand on the stack of the one before it, and other connections would wait for all of them.
    // Still `running`, so that nobody destroys the connection before its turn.
    from.phase = phase::running;
    boost::asio::post(context_, [self = shared_from_this(), &from] { self->read_on(from); });
    return;
  }
  from.phase = phase::idle;
  expire_after(from, bounds_.keep_alive + keep_alive_margin);
  set_events(from, to_read_new);
}

void connection_set::read_on(connection& from) {
  if (!from.stream.is_open()) return destroy(from);  // lost, cut or shut down meanwhile
  now_ = clock::now();
  from.phase = phase::idle;
  expire_after(from, bounds_.keep_alive + keep_alive_margin);
  if (from.pipelined) {
    from.current = take_exchange();
    from.current->reader.append(*from.pipelined);
    ::explicit_bzero(from.pipelined->data(), from.pipelined->size());
    from.pipelined = nullptr;
    if (!advance(from)) return;
  }
  set_events(from, to_read_new);
  if (from.stream.has_pending()) return on_readable(from);
  if (from.current) hold_incomplete(from);
}

void connection_set::end(connection& from) {
  from.stream.end_sending();
  if (!from.lingers_after) return destroy(from);
  // A close with unread bytes sends RST, which can destroy the answer before the peer reads it.
  from.phase = phase::lingering;
  from.pipelined = nullptr;
  set_events(from, to_read);
  expire_after(from, linger_time);
}

}  // namespace pam::net::detail
