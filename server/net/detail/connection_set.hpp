#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>

#include "async/deadline.hpp"
#include "server/net/detail/acceptor.hpp"
#include "server/net/detail/connection.hpp"
#include "server/net/detail/forwarded.hpp"
#include "server/net/detail/request_id.hpp"
#include "server/net/detail/response_writer.hpp"
#include "server/net/detail/timer_wheel.hpp"
#include "server/net/http_server.hpp"
#include "server/net/networks.hpp"

namespace pam::net::detail {

/// All connections of one server: one epoll set that Asio watches through a single
/// descriptor. `async_wait` for each connection would cost an epoll_ctl a request, a coroutine for each
/// half a KiB; here an idle connection is a small object and a complete request starts one coroutine.
///
/// Who is in goes before who comes: connections without their handshake (or PROXY header) stand in an epoll
/// set of their own, inside the first one, of which a few are served after each turn of the others
/// (docs/adr/0073). And who is in goes before who leaves: a turn sees few ends of connections
/// (docs/adr/0080). Who is in is told of once (docs/adr/0082).
///
/// Lives until its last handler has returned, also when the http_server is gone (then nothing of the
/// application is called any more).
/// Shard: everything, the destructor included; `stats` may be read from any thread.
class connection_set : public std::enable_shared_from_this<connection_set> {
 public:
  using clock = std::chrono::steady_clock;

  connection_set(boost::asio::io_context& context, listener_config where, const limits& bounds,
                 const tls_context* tls, service& application);
  ~connection_set();
  connection_set(const connection_set&) = delete;
  connection_set& operator=(const connection_set&) = delete;

  [[nodiscard]] boost::system::result<void, listen_error> listen() { return acceptor_.listen(where_); }
  [[nodiscard]] boost::system::result<void, listen_error> adopt(unique_fd listening) {
    return acceptor_.adopt(std::move(listening));
  }
  [[nodiscard]] std::span<const unique_fd> listeners() const { return acceptor_.sockets(); }
  [[nodiscard]] std::uint16_t port() const { return acceptor_.port(); }
  void start();
  void use(const tls_context* tls) { tls_ = tls; }
  boost::asio::awaitable<void> drain(async::deadline deadline, backlog waiting);
  /// Closes everything now. Running handlers finish into the void.
  void shut_down();

  net_statistics stats;

 private:
  template <connection::list_hook connection::* Hook>
  using list = boost::intrusive::list<connection,
                                      boost::intrusive::member_hook<connection, connection::list_hook, Hook>,
                                      boost::intrusive::constant_time_size<false>>;

  // The loop (connection_set.cpp).
  void watch();
  void on_ready();
  void serve_newcomers();
  bool put_off(connection& from, std::uint32_t events);
  void serve_ended();
  void tick();
  void on_tick();
  void on_event(connection& from, std::uint32_t events);
  void on_expired(connection& from);

  // Accepting (connection_set_accept.cpp).
  void accept_some();
  void shed_some();
  void admit(acceptor::connection from);
  void on_proxy_header(connection& from);
  void refuse_proxy_header(connection& from);
  void begin_stream(connection& from);
  bool settle(connection& from);
  void stop_accepting(backlog waiting);
  void close_listener();
  void resume_accepting(acceptor::reason why);
  void watch_listener();
  void wait_for_handshakes();
  void wait_to_shed();
  void tell_of_shedding();

  // Reading (connection_set_read.cpp). `false`: the connection may be gone, do not touch it.
  void on_handshake(connection& from, std::uint32_t events);
  void on_readable(connection& from);
  void on_event_while_running(connection& from, std::uint32_t events);
  void on_lingering(connection& from);
  bool advance(connection& from);
  void begin_request(connection& from);
  void begin_body(connection& from);
  void identify_client(connection& from);
  void dispatch(connection& from);
  bool answer_at_once(connection& from);
  void keep_rest(connection& from);
  void hold_incomplete(connection& from);
  /// Makes `bytes` the share of `of` in `limits::incomplete_bytes`; false, and no share, when that is too
  /// much.
  bool hold(connection& of, std::size_t bytes);
  void lose(connection& from);

  // Answering (connection_set_write.cpp).
  static boost::asio::awaitable<void> answer(std::shared_ptr<connection_set> self, connection* from,
                                             std::unique_ptr<exchange> request);
  void on_answer(connection& to, std::unique_ptr<exchange> request, bool has_failed);
  void refuse(connection& to, const refusal& why);
  void send_answer(connection& to);
  /// Writes the bytes of `joined` and `rest` from `sent` on, until the socket is full.
  io_result::status write_on(connection& to, std::string_view joined, std::string_view rest,
                             std::size_t& sent);
  bool send_continue(connection& to);
  void on_writable(connection& to);
  void on_sent(connection& to);
  void finish(connection& to, bool was_sent);
  void await_next(connection& from);
  void read_on(connection& from);
  void end(connection& from);

  /// What epoll is to tell of who may send. FIN comes with EPOLLIN too: the second tells it from bytes.
  static constexpr std::uint32_t to_read = EPOLLIN | EPOLLRDHUP;
  /// The same of who is in and still there: once for what arrives. Each of its readers stops only where
  /// nothing is left to read (`socket_stream::has_pending`); to be told again turn after turn costs a look at
  /// each socket that has just been read.
  static constexpr std::uint32_t to_read_new = to_read | EPOLLET;
  /// What it tells of a peer that sends no more.
  static constexpr std::uint32_t has_ended = EPOLLRDHUP | EPOLLHUP | EPOLLERR;

  // All.
  [[nodiscard]] static bool is_newcomer(const connection& of) {
    return of.phase == phase::proxy_header || of.phase == phase::handshake;
  }
  [[nodiscard]] int set_of(const connection& of) {
    return is_newcomer(of) ? newcomers_.get() : epoll_.native_handle();
  }
  void cut_at(async::deadline deadline);
  void cut();
  void set_events(connection& of, std::uint32_t events);
  void destroy(connection& from);
  [[nodiscard]] std::unique_ptr<exchange> take_exchange();
  void recycle(std::unique_ptr<exchange> used);
  void expire_after(connection& from, std::chrono::milliseconds time);

  boost::asio::io_context& context_;
  listener_config where_;
  limits bounds_;
  const tls_context* tls_;
  service& application_;

  networks trusted_;
  bool expects_proxy_header_;
  forwarded_header forwarded_;
  acceptor acceptor_;
  boost::asio::posix::stream_descriptor epoll_;  ///< listeners, `newcomers_`, and the connections not in it
  unique_fd newcomers_;                          ///< an epoll set
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer handshake_pause_;
  boost::asio::steady_timer shed_timer_;
  boost::asio::steady_timer cut_timer_;  ///< the deadline of a drain, the earliest of several
  boost::asio::steady_timer empty_;      ///< cancelled when the last connection is gone
  timer_wheel wheel_;
  response_writer writer_;
  request_ids ids_;
  std::string scratch_;  ///< heads with small bodies; copied only when the socket is full
  std::vector<std::unique_ptr<exchange>> pool_;
  list<&connection::all> connections_;
  list<&connection::ended> ended_;  ///< idle ones whose end waits for its turn
  std::size_t open_ = 0;
  std::size_t coming_ = 0;  ///< connections in `newcomers_`
  std::size_t held_ = 0;    ///< sum of connection::held
  std::uint32_t listener_events_ = 0;
  std::uint64_t told_of_ = 0;    ///< acceptor::times_full() when the application was told last
  clock::time_point told_next_;  ///< not before
  [[nodiscard]] std::chrono::system_clock::time_point wall_now() const { return wall_ + (now_ - wall_at_); }
  void read_wall_clock();

  clock::time_point now_;      ///< read once a wake-up
  clock::time_point wall_at_;  ///< when the wall clock was read last: once a tick
  std::chrono::system_clock::time_point wall_;
  int ends_left_ = 0;     ///< to be served in this wake-up
  bool is_busy_ = false;  ///< the last look found several: the next one is not waited for
  bool is_started_ = false;
  bool is_draining_ = false;
  bool is_shut_down_ = false;
};

}  // namespace pam::net::detail
