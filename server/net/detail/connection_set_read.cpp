// Reading: from the handshake to a request that is whole, and what the peer does meanwhile.
#include <sys/epoll.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "async/counting.hpp"
#include "server/net/detail/connection_set.hpp"

namespace pam::net::detail {

using async::count;
using status = io_result::status;

void connection_set::on_handshake(connection& from, std::uint32_t events) {
  if (!from.stream.is_tls()) {
    // Who gave up while its hello waited for its turn reads no answer: a signature for each would keep the
    // others waiting until they give up too.
    const bool has_left = (events & has_ended) != 0;
    if (!has_left && !from.stream.has_hello()) return;
    if (has_left || !from.stream.begin_tls(tls_->native())) {
      count(stats.handshakes_failed);
      return destroy(from);
    }
    // The hello may have waited here for long: the rest has time of its own.
    expire_after(from, bounds_.handshake);
  }
  switch (from.stream.handshake().what) {
    case status::want_read:
      return set_events(from, to_read);
    case status::want_write:
      return set_events(from, EPOLLOUT);
    case status::ended:
    case status::failed:
      count(stats.handshakes_failed);
      return destroy(from);
    case status::done:
      break;
  }
  count(stats.handshakes);
  if (!settle(from)) return;
  // With read-ahead the first request may have come with the end of the handshake; epoll would not tell.
  if (from.stream.has_pending()) on_readable(from);
}

void connection_set::on_readable(connection& from) {
  if (!from.current) from.current = take_exchange();
  for (;;) {
    const std::span<char> room = from.current->reader.room();
    const io_result got = from.stream.read(room);
    if (got.what == status::want_read) break;
    if (got.what != status::done) return destroy(from);
    count(stats.bytes_in, got.bytes);
    from.current->reader.received(got.bytes);
    if (!advance(from)) return;
    // After a short read the socket is empty: asking again would cost a system call a request.
    if (got.bytes < room.size() && !from.stream.has_pending()) break;
  }
  if (from.phase == phase::idle) return recycle(std::move(from.current));
  hold_incomplete(from);
}

bool connection_set::advance(connection& from) {
  const bool is_new = from.phase == phase::idle;
  if (is_new) begin_request(from);
  switch (from.current->reader.advance(bounds_)) {
    case request_reader::stage::head:
      if (is_new) expire_after(from, bounds_.header);  // most heads come whole and need no limit
      return true;
    case request_reader::stage::sized_body:
    case request_reader::stage::chunked_body:
      if (from.phase == phase::body) return true;
      begin_body(from);
      if (!from.current->reader.wants_continue() || send_continue(from)) return true;
      destroy(from);
      return false;
    case request_reader::stage::complete:
      dispatch(from);
      return false;
    case request_reader::stage::refused:
      break;
  }
  const refusal why = from.current->reader.why();
  count(why.status == 413 || why.status == 414 || why.status == 431 ? stats.refused_too_large
                                                                    : stats.refused_malformed);
  refuse(from, why);
  return false;
}

void connection_set::begin_request(connection& from) {
  exchange& request = *from.current;
  from.phase = phase::head;
  request.peer = from.peer;
  request.is_tls = from.stream.is_tls();
  request.started = now_;
  request.deadline = now_ + bounds_.request;
  request.request_id = ids_.next(wall_now());
}

void connection_set::begin_body(connection& from) {
  from.phase = phase::body;
  identify_client(from);
  expire_after(from, bounds_.body);
}

// Only a complete head tells: the nearest hop stands in the last of its fields.
void connection_set::identify_client(connection& from) {
  if (forwarded_ == forwarded_header::off) return;
  origin found = origin_of(from.current->fields, forwarded_, trusted_, from.peer);
  from.current->peer = std::move(found.client);
  if (found.is_hidden) count(stats.hidden_clients);
}

bool connection_set::hold(connection& of, std::size_t bytes) {
  held_ -= std::exchange(of.held, 0);
  if (bytes > bounds_.incomplete_bytes - held_) return false;
  held_ += of.held = bytes;
  return true;
}

void connection_set::hold_incomplete(connection& from) {
  if (hold(from, from.current->reader.capacity())) return;
  count(stats.refused_memory);
  refuse(from, {503, "over_capacity", "Incomplete requests hold as much memory as limits.incomplete_bytes."});
}

void connection_set::keep_rest(connection& from) {
  const std::string_view rest = from.current->reader.rest();
  if (hold(from, rest.size())) {
    if (!rest.empty()) from.pipelined = std::make_unique<std::string>(rest);
    return;
  }
  // This request is complete and is answered; `Connection: close` tells the client that the rest was not
  // read (RFC 9112 section 9.3.2).
  count(stats.refused_memory);
  from.current->keep_alive = false;
  from.lingers_after = true;
}

void connection_set::dispatch(connection& from) {
  keep_rest(from);
  if (from.phase == phase::head) identify_client(from);
  timer_wheel::cancel(from);
  from.phase = phase::running;
  count(stats.requests);
  count(stats.in_flight);
  // The time a slow client took to send is not the handler's.
  from.current->deadline = now_ + bounds_.request;
  if (answer_at_once(from)) return;
  boost::asio::co_spawn(context_, answer(shared_from_this(), &from, std::move(from.current)),
                        boost::asio::detached);
}

// A coroutine costs as much as all the rest of a small answer.
bool connection_set::answer_at_once(connection& from) {
  bool has_failed = false;
  try {
    if (!application_.serve_at_once(*from.current)) return false;
  } catch (...) {
    has_failed = true;  // as in answer()
  }
  try {
    on_answer(from, std::move(from.current), has_failed);
  } catch (...) {
    lose(from);
  }
  return true;
}

void connection_set::on_event_while_running(connection& from, std::uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) == 0) {
    // More requests, or the end of the peer's sending, which is no refusal of the answer. Watching
    // stops only now: it costs nothing as long as the peer waits for its answer.
    return set_events(from, 0);
  }
  // Gone for good. The handler still runs with this connection's address: the object stays until then.
  from.stream.abort();
}

void connection_set::on_lingering(connection& from) {
  const io_result got = from.stream.discard();
  if (got.what != status::done && got.what != status::want_read) destroy(from);
}

void connection_set::lose(connection& from) {
  from.stream.abort();
  finish(from, false);
  destroy(from);
}

}  // namespace pam::net::detail
