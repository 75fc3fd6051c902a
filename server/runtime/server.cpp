#include "server/runtime/server.hpp"

#include <csignal>

#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "async/tuple_await.hpp"
#include "server/auth/statements.hpp"

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

}  // namespace

void throw_exception_from_error(const start_error& failure, const boost::source_location&) {
  throw std::runtime_error(failure.message);
}

server::server(configuration settings, logger& log, crypto::key_ring keys, reread_configuration reread)
    : settings_(std::move(settings)),
      log_(log),
      reread_(std::move(reread)),
      keys_(std::move(keys)),
      hashes_(hash_config_of(settings_)),
      catalogue_(auth::statement_catalogue()),
      parts_{settings_, keys_, hashes_, catalogue_, log_},
      internal_application_(shards_, hashes_, log_, is_draining_) {}

server::~server() = default;

boost::system::result<std::unique_ptr<server>, start_error> server::create(configuration settings,
                                                                           logger& log,
                                                                           reread_configuration reread) {
  auto keys = crypto::key_ring::load(settings.keys.file);
  if (keys.has_error()) return start_error{"keys.file: " + keys.error().detail};
  std::unique_ptr<server> made{new server{std::move(settings), log, std::move(*keys), std::move(reread)}};
  if (auto loaded = made->load_tls(); loaded.has_error()) return loaded.error();
  if (auto bound = made->make_shards(); bound.has_error()) return bound.error();
  if (auto bound = made->make_internal(); bound.has_error()) return bound.error();
  return made;
}

boost::system::result<void, start_error> server::load_tls() {
  if (!settings_.listen.is_tls) return {};
  auto loaded = net::tls_context::load(settings_.tls);
  if (loaded.has_error()) return start_error{loaded.error().message};
  tls_.push_back(std::make_unique<net::tls_context>(std::move(*loaded)));
  return {};
}

boost::system::result<void, start_error> server::make_shards() {
  const std::size_t count = effective_shards(settings_);
  const net::tls_context* tls = tls_.empty() ? nullptr : tls_.back().get();
  for (std::size_t index = 0; index < count; ++index) {
    auto made = std::make_unique<shard>(parts_, index, tls);
    if (auto bound = made->listen(); bound.has_error()) return start_error{bound.error().message};
    // Port 0 was the kernel's choice for the first shard; the others share it.
    port_ = made->port();
    settings_.listen.port = port_;
    shards_.push_back(std::move(made));
  }
  return {};
}

boost::system::result<void, start_error> server::make_internal() {
  net::listener_config where;
  where.address = settings_.internal.address;
  where.port = settings_.internal.port;
  where.is_tls = false;
  where.reuse_port = false;
  internal_ =
      std::make_unique<net::http_server>(control_, where, internal_limits(), nullptr, internal_application_);
  if (auto bound = internal_->listen(); bound.has_error()) return start_error{bound.error().message};
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
    each->run(std::move(to));
  }
}

void server::on_shard_ready(const std::optional<db::error>& missing) {
  if (is_draining_) return;
  if (missing)
    log_.warn("database_unavailable", {{"detail", missing->detail}}, "serving 503 until it is there");
  if (--shards_pending_ == 0 && on_ready_) on_ready_();
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

void server::await_reload() {
  reload_signals_.async_wait([this](const boost::system::error_code& failure, int) {
    if (failure) return;
    reload();
    await_reload();
  });
}

void server::reload() {
  if (auto reopened = log_.reopen(); reopened.has_error()) {
    log_.error("log_reopen_failed", {{"detail", reopened.error().message}}, "the old file stays in use");
  }
  reload_configuration();
  if (auto loaded = load_tls(); loaded.has_error()) {
    log_.error("certificate_reload_failed", {{"detail", loaded.error().message}},
               "the old certificate stays in use");
    return;
  }
  if (!tls_.empty()) {
    for (const auto& each : shards_) each->use(tls_.back().get());
  }
  log_.info("reloaded");
}

// All of it is validated before any of it is used; an error keeps the old.
void server::reload_configuration() {
  if (!reread_) return;
  auto fresh = reread_();
  config_errors findings;
  if (fresh.has_error()) {
    findings = fresh.error();
  } else {
    findings = missing_for_serving(*fresh);
  }
  for (const config_error& each : findings) {
    log_.error("configuration_refused",
               {{"key", each.key}, {"origin", each.origin}, {"detail", each.message}},
               "the old configuration stays in use");
  }
  if (!findings.empty()) return;
  for (const std::string& key : difference(settings_, *fresh).needs_restart) {
    log_.warn("needs_restart", {{"key", key}}, "changed, but takes effect at the next start only");
  }
  apply_reloadable(settings_, *fresh);
  log_.set_level(parse_log_level(settings_.log.level).value_or(log_level::info));
  log_.set_flood_limit(settings_.log.flood_limit);
}

void server::begin_drain(drain_times times) {
  if (is_draining_.exchange(true)) return;
  boost::asio::co_spawn(control_, drain(times), boost::asio::detached);
}

boost::asio::awaitable<void> server::drain(drain_times times) {
  // Balancers learn from /readyz before the port closes.
  delay_.expires_after(times.delay);
  co_await delay_.async_wait(async::tuple_await);
  const async::deadline deadline = async::within(times.timeout);
  std::size_t pending = shards_.size();
  for (const auto& each : shards_) {
    each->drain(deadline, [this, &pending] {
      boost::asio::post(control_, [this, &pending] {
        if (--pending == 0) drained_.cancel();
      });
    });
  }
  // The internal port keeps answering meanwhile.
  while (pending != 0) co_await drained_.async_wait(async::tuple_await);
  co_await internal_->drain(async::within(std::chrono::seconds{1}));
  log_.info("stopped");
  boost::system::error_code ignored;
  stop_signals_.cancel(ignored);
  reload_signals_.cancel(ignored);
  report_timer_.cancel();
}

}  // namespace pam::runtime
