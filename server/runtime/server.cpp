#include "server/runtime/server.hpp"

#include <fcntl.h>

#include <csignal>

#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "async/tuple_await.hpp"
#include "server/auth/statements.hpp"
#include "server/runtime/load_keys.hpp"
#include "server/runtime/load_tls.hpp"

namespace pam::runtime {
namespace {

crypto::hash_pool_config hash_config_of(const configuration& settings) {
  crypto::hash_pool_config pool;
  pool.threads = effective_hash_threads(settings);
  pool.queue_limit = settings.hash.queue_limit;
  pool.max_wait = settings.hash.max_wait;
  pool.cost.memory_kib = settings.hash.memory_kib;
  pool.cost.passes = settings.hash.passes;
  return pool;
}

/// Time for what runs when a person pressed Ctrl-C.
constexpr std::chrono::milliseconds interactive_drain{2'000};

/// The internal port answers one operator, not the world.
net::limits internal_limits() {
  net::limits bounds;
  bounds.connections = 64;
  bounds.body_bytes = 1024;
  return bounds;
}

/// Inherited sockets, to be divided among shards.
struct shared_listeners {
  std::vector<net::unique_fd> sockets;
  std::size_t shards = 0;
  bool may_bind_more = false;  ///< of our own user, so SO_REUSEPORT lets us bind beside them
};

net::unique_fd copy_of(const net::unique_fd& socket) {
  return net::unique_fd(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 0));
}

/// A shard's share of the sockets. With fewer sockets than shards the others bind their own beside them, or
/// share one; a socket that nobody served would swallow its part of the connections.
boost::system::result<void, net::listen_error> listen_with(shard& one, std::size_t index,
                                                           const shared_listeners& how) {
  const std::size_t count = how.sockets.size();
  if (count == 0) return one.listen();
  if (index >= count) {
    if (how.may_bind_more && one.listen().has_value()) return {};
    return one.adopt(copy_of(how.sockets[index % count]));
  }
  for (std::size_t at = index; at < count; at += how.shards) {
    if (auto adopted = one.adopt(copy_of(how.sockets[at])); adopted.has_error()) return adopted;
  }
  return {};
}

}  // namespace

server::server(configuration settings, logger& log, crypto::key_ring keys, reread_configuration reread,
               start_up given)
    : settings_(std::move(settings)),
      log_(log),
      reread_(std::move(reread)),
      keys_(std::move(keys)),
      hashes_(hash_config_of(settings_)),
      catalogue_(auth::statement_catalogue()),
      replicas_(settings_.database.replicas.size()),
      parts_{settings_, keys_, hashes_, catalogue_, log_, observed_, turns_, replicas_, nullptr},
      given_(std::move(given)),
      internal_application_(shards_, hashes_, log_, observed_, is_draining_, internal_) {
  apply_log_settings();
  if (!settings_.password.breach_url.empty()) {
    observed_.breaches = std::make_unique<breach_client>(
        breach_settings{settings_.password.breach_url, settings_.password.breach_timeout,
                        settings_.password.breach_ca_file, settings_.password.breach_networks},
        log_);
    parts_.breaches = observed_.breaches.get();
  }
  if (settings_.tracing.endpoint.empty()) return;
  observed_.traces.emplace(trace_settings{settings_.tracing.endpoint, settings_.tracing.sample_percent,
                                          settings_.tracing.queue_limit});
}

server::~server() = default;

boost::system::result<std::unique_ptr<server>, start_error> server::create(configuration settings,
                                                                           logger& log,
                                                                           reread_configuration reread,
                                                                           start_up given) {
  auto keys = load_keys(settings);
  if (keys.has_error()) return start_error{keys.error().key + ": " + keys.error().message};
  std::unique_ptr<server> made{
      new server{std::move(settings), log, std::move(*keys), std::move(reread), std::move(given)}};
  if (auto loaded = made->load_tls(); loaded.has_error()) return loaded.error();
  if (auto bound = made->make_shards(); bound.has_error()) return bound.error();
  if (auto bound = made->make_internal(); bound.has_error()) return bound.error();
  // A predecessor's control socket is replaced when it was relieved.
  if (!made->given_.replaced) {
    if (auto bound = made->make_control_socket(); bound.has_error()) return bound.error();
  }
  return made;
}

boost::system::result<void, start_error> server::load_tls() {
  auto outside = load_tls_context(tls_of(settings_));
  if (outside.has_error()) return start_error{outside.error().message};
  if (*outside) tls_.push_back(std::move(*outside));
  auto inside = load_tls_context(internal_tls_of(settings_));
  if (inside.has_error()) return start_error{inside.error().message};
  if (*inside) internal_tls_.push_back(std::move(*inside));
  return {};
}

boost::system::result<void, start_error> server::make_shards() {
  const std::size_t count = effective_shards(settings_);
  const net::tls_context* tls = tls_.empty() ? nullptr : tls_.back().get();
  keep_matching_listeners();
  const shared_listeners how{std::exchange(given_.listeners.open, {}), count, given_.replaced.has_value()};
  for (std::size_t index = 0; index < count; ++index) {
    auto made = std::make_unique<shard>(parts_, index, tls);
    if (auto bound = listen_with(*made, index, how); bound.has_error()) {
      return start_error{bound.error().message};
    }
    // Port 0 was the kernel's choice for the first shard; the others share it.
    port_ = made->port();
    settings_.listen.port = port_;
    shards_.push_back(std::move(made));
  }
  return {};
}

// The service manager's sockets are right by definition; a predecessor's may be those of another
// configuration.
void server::keep_matching_listeners() {
  if (!given_.replaced) return;
  // Until it is relieved, the predecessor serves them too.
  backlog_ = net::backlog::handed_over;
  inherited_listeners& all = given_.listeners;
  const std::size_t lost =
      keep_listeners_at(all.open, settings_.listen.address, settings_.listen.port) +
      keep_listeners_at(all.internal, settings_.internal.address, settings_.internal.port);
  if (lost != 0) {
    log_.warn("listeners_not_kept", {{"count", lost}},
              "address or port changed: the predecessor's listeners of the old one close");
  }
}

boost::system::result<void, start_error> server::make_internal() {
  net::listener_config where;
  where.address = settings_.internal.address;
  where.port = settings_.internal.port;
  const net::tls_context* tls = internal_tls_.empty() ? nullptr : internal_tls_.back().get();
  where.is_tls = tls != nullptr;
  where.reuse_port = false;
  internal_ =
      std::make_unique<net::http_server>(control_, where, internal_limits(), tls, internal_application_);
  std::vector<net::unique_fd>& inherited = given_.listeners.internal;
  auto bound = inherited.empty() ? internal_->listen() : internal_->adopt(std::move(inherited.front()));
  if (bound.has_error()) return start_error{bound.error().message};
  internal_port_ = internal_->port();
  return {};
}

boost::system::result<void, start_error> server::make_control_socket() {
  if (settings_.server.control_socket.empty()) return {};
  auto made = control_socket::open(control_, settings_.server.control_socket);
  if (made.has_error()) return made.error();
  control_socket_ = std::move(*made);
  return {};
}

void server::start(std::function<void()> on_ready) {
  on_ready_ = std::move(on_ready);
  shards_pending_ = shards_.size();
  stop_signals_.add(SIGTERM);
  stop_signals_.add(SIGINT);
  reload_signals_.add(SIGHUP);
  await_signals();
  await_reload();
  internal_->start();
  report_suppressed();
  for (const auto& each : shards_) {
    shard::events to;
    to.ready = [this](std::optional<db::error> missing) {
      boost::asio::post(control_, [this, missing = std::move(missing)] { on_shard_ready(missing); });
    };
    to.failed = [this](std::string reason) {
      boost::asio::post(control_, [this, reason = std::move(reason)] {
        log_.error("shard_failed", {{"detail", reason}}, "stopping");
        has_failed_ = true;
        begin_drain({std::chrono::milliseconds{0}, interactive_drain});
      });
    };
    each->run(std::move(to), given_.replaced.has_value());
  }
}

void server::on_shard_ready(const std::optional<db::error>& missing) {
  if (is_draining_) return;
  if (missing)
    log_.warn("database_unavailable", {{"detail", missing->detail}}, "serving 503 until it is there");
  if (--shards_pending_ == 0) on_all_ready();
}

void server::on_all_ready() {
  if (given_.replaced) finish_take_over();
  offer_listeners();
  given_.manager.ready("serving on port " + std::to_string(port_));
  prove_alive();
  if (on_ready_) on_ready_();
}

void server::finish_take_over() {
  if (!given_.replaced->relieve()) {
    log_.warn("predecessor_gone", {}, "it ended before it could hand over in order");
  }
  given_.replaced.reset();
  backlog_ = net::backlog::served;
  if (auto made = make_control_socket(); made.has_error()) {
    log_.error("control_socket_failed", {{"detail", made.error().message}},
               "serving, but no successor can take over");
  }
}

void server::offer_listeners() {
  if (!control_socket_) return;
  const auto descriptors = [](std::span<const net::unique_fd> sockets, std::vector<int>& to) {
    for (const net::unique_fd& each : sockets) to.push_back(each.get());
  };
  control_socket::owner self;
  self.open_listeners = [this, descriptors] {
    std::vector<int> all;
    for (const auto& each : shards_) descriptors(each->http().listeners(), all);
    return all;
  };
  self.internal_listeners = [this, descriptors] {
    std::vector<int> all;
    descriptors(internal_->listeners(), all);
    return all;
  };
  self.refused = [this](std::string_view why) { log_.warn("take_over_refused", {{"detail", why}}); };
  self.handed_over = [this](pid_t successor) { on_handed_over(successor); };
  control_socket_->start(std::move(self));
}

void server::on_handed_over(pid_t successor) {
  if (is_draining_) return;
  backlog_ = net::backlog::handed_over;
  log_.info("handed_over", {{"successor", successor}}, "draining");
  begin_drain({std::chrono::milliseconds{0}, settings_.server.drain_timeout});
}

// Every shard must answer between two signs of life: a stuck one gets the process restarted.
void server::prove_alive() {
  const auto interval = given_.manager.watchdog_interval();
  if (!interval) return;
  if (shards_silent_ == 0) {
    given_.manager.alive();
    shards_silent_ = shards_.size();
    for (const auto& each : shards_) {
      each->ask([this] { boost::asio::post(control_, [this] { --shards_silent_; }); });
    }
  }
  watchdog_timer_.expires_after(*interval);
  watchdog_timer_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) prove_alive();
  });
}

bool server::run() {
  control_.run();
  for (const auto& each : shards_) each->join();
  hashes_.close();
  return !has_failed_;
}

void server::stop() {
  boost::asio::post(control_, [this] { begin_drain({std::chrono::milliseconds{0}, interactive_drain}); });
}

// Floods of warnings are counted, not written; the counts appear once a second.
void server::report_suppressed() {
  report_timer_.expires_after(std::chrono::seconds{1});
  report_timer_.async_wait([this](const boost::system::error_code& failure) {
    if (failure) return;
    log_.report_suppressed();
    report_suppressed();
  });
}

void server::await_signals() {
  stop_signals_.async_wait([this](const boost::system::error_code& failure, int signal) {
    if (failure) return;
    on_stop_signal(signal);
    await_signals();
  });
}

void server::on_stop_signal(int signal) {
  const char* name = signal == SIGTERM ? "SIGTERM" : "SIGINT";
  if (is_draining_) {
    // Asked a second time: what has not finished is cut.
    log_.warn("signal", {{"signal", name}}, "cutting what still runs");
    delay_.cancel();
    for (const auto& each : shards_) each->hurry();
    return;
  }
  log_.info("signal", {{"signal", name}}, "draining");
  if (signal == SIGTERM) {
    begin_drain({settings_.server.drain_delay, settings_.server.drain_timeout});
  } else {
    begin_drain({std::chrono::milliseconds{0}, interactive_drain});
  }
}

void server::apply_log_settings() {
  log_.set_flood_limit(settings_.log.flood_limit);
  const auto slow = std::chrono::duration_cast<std::chrono::microseconds>(settings_.log.slow_request);
  observed_.slow_request_us.store(slow.count(), std::memory_order_relaxed);
}

void server::begin_drain(drain_times times) {
  if (is_draining_.exchange(true)) return;
  if (control_socket_) control_socket_->close();
  // Handed over, the service goes on in another process, which tells for itself.
  if (backlog_ == net::backlog::served) {
    given_.manager.stopping(times.delay + times.timeout + std::chrono::seconds{10});
  }
  boost::asio::co_spawn(control_, drain(times), boost::asio::detached);
}

boost::asio::awaitable<void> server::drain(drain_times times) {
  // Balancers learn from /readyz before the port closes.
  delay_.expires_after(times.delay);
  co_await delay_.async_wait(async::tuple_await);
  const async::deadline deadline = async::within(times.timeout);
  if (backlog_ == net::backlog::handed_over) {
    boost::asio::co_spawn(control_, internal_->drain(deadline, backlog_), boost::asio::detached);
  }
  std::size_t pending = shards_.size();
  for (const auto& each : shards_) {
    each->drain(deadline, backlog_, [this, &pending] {
      boost::asio::post(control_, [this, &pending] {
        if (--pending == 0) drained_.cancel();
      });
    });
  }
  // The internal port keeps answering meanwhile.
  while (pending != 0) co_await drained_.async_wait(async::tuple_await);
  co_await internal_->drain(async::within(std::chrono::seconds{1}), backlog_);
  log_.info("stopped");
  boost::system::error_code ignored;
  stop_signals_.cancel(ignored);
  reload_signals_.cancel(ignored);
  report_timer_.cancel();
  watchdog_timer_.cancel();
}

}  // namespace pam::runtime
