#include "server/net/detail/connection_set.hpp"

#include <array>
#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <boost/asio/append.hpp>
#include <boost/asio/post.hpp>

#include "async/counting.hpp"
#include "async/tuple_await.hpp"

namespace pam::net::detail {

using async::count;
using async::uncount;
namespace {

/// Fine enough for limits of seconds, and four wake-ups a second cost nothing.
constexpr std::chrono::milliseconds tick_length{250};
/// Connections served in one wake-up before other work of the shard gets its turn.
constexpr int events_per_wake_up = 128;
/// So many at one look promise more at the next, which is taken then without being woken (docs/adr/0083).
constexpr int busy = 2;
/// Ends of connections among them. An end costs as much as a small request, and thousands of clients can
/// leave at once.
constexpr int ends_per_wake_up = 16;
/// Newcomers served in one wake-up, after the others. A handshake takes 0.2 to 0.5 ms: a turn of them is
/// below 2 ms, and beside a turn of 128 requests (5 ms and more) they still have a quarter of the loop.
constexpr int newcomers_per_wake_up = 4;
/// Exchanges kept for the next requests.
constexpr std::size_t kept_exchanges = 256;

forwarded_header forwarded_header_named(std::string_view name) {
  if (name == "forwarded") return forwarded_header::forwarded;
  return name == "x-forwarded-for" ? forwarded_header::x_forwarded_for : forwarded_header::off;
}

int make_epoll() {
  const int made = ::epoll_create1(EPOLL_CLOEXEC);
  if (made < 0) throw std::system_error(errno, std::generic_category(), "epoll_create1");
  return made;
}

}  // namespace

connection_set::connection_set(boost::asio::io_context& context, listener_config where, const limits& bounds,
                               const tls_context* tls, service& application)
    : context_(context),
      where_(std::move(where)),
      bounds_(bounds),
      tls_(tls),
      application_(application),
      trusted_(where_.trusted_proxies),
      expects_proxy_header_(where_.proxy_protocol == "required"),
      forwarded_(forwarded_header_named(where_.forwarded_header)),
      acceptor_(bounds, tls != nullptr),
      epoll_(context, make_epoll()),
      newcomers_(make_epoll()),
      ticker_(context),
      handshake_pause_(context),
      shed_timer_(context),
      cut_timer_(context, clock::time_point::max()),
      empty_(context, clock::time_point::max()),
      wheel_(tick_length, clock::now()),
      writer_(bounds.keep_alive),
      now_(clock::now()) {
  read_wall_clock();
  pool_.reserve(kept_exchanges);  // giving one back never throws
}

connection_set::~connection_set() {
  connections_.clear_and_dispose([](connection* gone) { delete gone; });
}

void connection_set::start() {
  if (is_started_ || is_shut_down_) return;
  is_started_ = true;
  if (!acceptor_.is_listening()) throw std::logic_error("listen() or adopt() comes before start()");
  epoll_event event{};
  event.events = listener_events_ = EPOLLIN;
  event.data.ptr = &newcomers_;
  if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, newcomers_.get(), &event) != 0) {
    throw std::system_error(errno, std::generic_category(), "epoll_ctl");
  }
  event.data.ptr = nullptr;  // a listener; connections carry their own address
  for (const unique_fd& each : acceptor_.sockets()) {
    if (::epoll_ctl(epoll_.native_handle(), EPOLL_CTL_ADD, each.get(), &event) != 0) {
      throw std::system_error(errno, std::generic_category(), "epoll_ctl");
    }
  }
  watch();
  tick();
}

void connection_set::watch() {
  auto go_on = [self = shared_from_this()](const boost::system::error_code& failure) {
    if (failure || self->is_shut_down_) return;
    self->on_ready();
    if (!self->is_shut_down_) self->watch();
  };
  if (ended_.empty() && !is_busy_) {
    epoll_.async_wait(boost::asio::posix::stream_descriptor::wait_read, std::move(go_on));
  } else {
    boost::asio::post(context_, boost::asio::append(std::move(go_on), boost::system::error_code{}));
  }
}

void connection_set::on_ready() {
  std::array<epoll_event, events_per_wake_up> ready;
  const int count = ::epoll_wait(epoll_.native_handle(), ready.data(), events_per_wake_up, 0);
  now_ = clock::now();
  is_busy_ = count >= busy;
  bool may_accept = false;
  ends_left_ = ends_per_wake_up;
  // A descriptor is listed once, and serving one connection never destroys another: the pointers stay good.
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = ready[static_cast<std::size_t>(i)];
    if (event.data.ptr == nullptr) {
      may_accept = true;
    } else if (event.data.ptr != &newcomers_) {  // which only wakes the loop
      connection& from = *static_cast<connection*>(event.data.ptr);
      if (!put_off(from, event.events)) on_event(from, event.events);
    }
  }
  // Each turn, not when the kernel names the set: among thousands that are ready its turn comes seldom.
  if (coming_ != 0) serve_newcomers();
  serve_ended();
  if (may_accept) accept_some();
}

/// Whether an end waits for a later turn, in which epoll does not tell of it again: it would return
/// thousands of them before the next request, turn after turn.
bool connection_set::put_off(connection& from, std::uint32_t events) {
  if ((events & has_ended) == 0 || from.phase != phase::idle) return false;
  if (from.ended.is_linked()) return true;  // told of once more after the change below
  if (ended_.empty() && ends_left_ > 0) {
    --ends_left_;
    return false;
  }
  set_events(from, EPOLLET);
  ended_.push_back(from);
  return true;
}

void connection_set::serve_ended() {
  for (; ends_left_ > 0 && !ended_.empty(); --ends_left_) {
    connection& from = ended_.front();
    ended_.pop_front();
    set_events(from, to_read);  // there may be a request before the end
    on_event(from, to_read);
  }
}

// Level-triggered: whoever is left waiting wakes the loop again.
void connection_set::serve_newcomers() {
  std::array<epoll_event, newcomers_per_wake_up> ready;
  const int count = ::epoll_wait(newcomers_.get(), ready.data(), newcomers_per_wake_up, 0);
  for (int i = 0; i < count; ++i) {
    const epoll_event& event = ready[static_cast<std::size_t>(i)];
    on_event(*static_cast<connection*>(event.data.ptr), event.events);
  }
}

void connection_set::tick() {
  ticker_.expires_after(tick_length);
  ticker_.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (failure || self->is_shut_down_) return;
    self->on_tick();
    if (!self->is_shut_down_) self->tick();
  });
}

void connection_set::read_wall_clock() {
  wall_at_ = now_;
  wall_ = std::chrono::system_clock::now();
}

void connection_set::on_tick() {
  now_ = clock::now();
  read_wall_clock();
  wheel_.advance(now_, [this](timer_wheel::node& due) { on_expired(static_cast<connection&>(due)); });
  if (acceptor_.is_paused_by(acceptor::reason::descriptors)) {
    resume_accepting(acceptor::reason::descriptors);
  }
}

void connection_set::on_event(connection& from, std::uint32_t events) {
  switch (from.phase) {
    case phase::proxy_header:
      return on_proxy_header(from);
    case phase::handshake:
      return on_handshake(from, events);
    case phase::idle:
    case phase::head:
    case phase::body:
      // Read now is perhaps a request before the end: the end itself is to be told of again.
      if ((events & has_ended) != 0) set_events(from, to_read);
      return on_readable(from);
    case phase::running:
      return on_event_while_running(from, events);
    case phase::writing:
      return on_writable(from);
    case phase::lingering:
      return on_lingering(from);
  }
}

void connection_set::on_expired(connection& from) {
  // It has done its part and waits for its turn here.
  if (is_newcomer(from) && from.stream.is_ready(from.events)) return expire_after(from, bounds_.handshake);
  switch (from.phase) {
    case phase::proxy_header:
      count(stats.timed_out_proxy_header);
      from.stream.abort();
      return destroy(from);
    case phase::handshake:
      count(stats.timed_out_handshake);
      from.stream.abort();
      return destroy(from);
    case phase::idle:
      count(stats.idle_closed);
      from.stream.end_sending();
      return destroy(from);
    case phase::head:
      count(stats.timed_out_header);
      return refuse(from, {408, "request_timeout", "The header did not arrive within the configured time."});
    case phase::body:
      count(stats.timed_out_body);
      return refuse(from, {408, "request_timeout", "The body did not arrive within the configured time."});
    case phase::writing:
      count(stats.timed_out_write);
      return lose(from);
    case phase::running:
      return;
    case phase::lingering:
      return destroy(from);
  }
}

// ---- shared ---------------------------------------------------------------------------------------

void connection_set::set_events(connection& of, std::uint32_t events) {
  if (of.events == events || !of.stream.is_open()) return;
  epoll_event event{};
  event.events = events;
  event.data.ptr = &of;
  // Cannot fail for a registered descriptor; if it did, the time limit of the phase ends the connection.
  if (::epoll_ctl(set_of(of), EPOLL_CTL_MOD, of.stream.descriptor(), &event) == 0) {
    of.events = events;
  }
}

void connection_set::destroy(connection& from) {
  hold(from, 0);
  recycle(std::move(from.current));
  if (is_newcomer(from)) --coming_;
  delete &from;  // leaves the list, the wheel and (by closing) the epoll set
  --open_;
  uncount(stats.open);
  if (open_ == 0) empty_.cancel();
  if (acceptor_.is_paused_by(acceptor::reason::connections)) {
    resume_accepting(acceptor::reason::connections);
  }
}

std::unique_ptr<exchange> connection_set::take_exchange() {
  if (pool_.empty()) return std::make_unique<exchange>();
  std::unique_ptr<exchange> taken = std::move(pool_.back());
  pool_.pop_back();
  return taken;
}

void connection_set::recycle(std::unique_ptr<exchange> used) {
  if (!used || pool_.size() >= kept_exchanges) return;
  used->reset();
  pool_.push_back(std::move(used));
}

void connection_set::expire_after(connection& from, std::chrono::milliseconds time) {
  wheel_.schedule(from, now_ + time);
}

// ---- end ------------------------------------------------------------------------------------------

boost::asio::awaitable<void> connection_set::drain(async::deadline deadline, backlog waiting) {
  const auto self = shared_from_this();  // the caller may give up the server while this waits
  // Never started, nobody would serve what waits in the backlog, nor time it out.
  if (!is_started_) shut_down();
  if (!is_shut_down_) {
    now_ = clock::now();
    is_draining_ = true;
    stop_accepting(waiting);
    cut_at(deadline);
  }
  while (open_ != 0) co_await empty_.async_wait(async::tuple_await);
  shut_down();
}

void connection_set::cut_at(async::deadline deadline) {
  if (deadline >= cut_timer_.expiry()) return;
  cut_timer_.expires_at(deadline);
  cut_timer_.async_wait([self = shared_from_this()](const boost::system::error_code& failure) {
    if (!failure && !self->is_shut_down_) self->cut();
  });
}

void connection_set::cut() {
  for (auto at = connections_.begin(); at != connections_.end();) {
    connection& victim = *at++;
    if (victim.phase == phase::running) {
      victim.stream.abort();
    } else {
      lose(victim);
    }
  }
}

void connection_set::shut_down() {
  if (std::exchange(is_shut_down_, true)) return;
  close_listener();
  ticker_.cancel();
  handshake_pause_.cancel();
  shed_timer_.cancel();
  cut_timer_.cancel();
  for (auto at = connections_.begin(); at != connections_.end();) {
    connection& victim = *at++;
    victim.stream.close();
    if (victim.phase != phase::running) destroy(victim);
  }
  boost::system::error_code ignored;
  epoll_.close(ignored);
  newcomers_.reset();
  pool_.clear();
}

}  // namespace pam::net::detail
