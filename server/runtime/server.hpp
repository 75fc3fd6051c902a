#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/result.hpp>

#include "server/crypto/hash_pool.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/net/http_server.hpp"
#include "server/runtime/config.hpp"
#include "server/runtime/control_socket.hpp"
#include "server/runtime/inherited_listeners.hpp"
#include "server/runtime/internal_service.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/predecessor.hpp"
#include "server/runtime/service_manager.hpp"
#include "server/runtime/shard.hpp"
#include "server/runtime/start_error.hpp"

namespace pam::runtime {

/// What a process was given when it was started.
struct start_up {
  inherited_listeners listeners;        ///< those of the predecessor included
  std::optional<predecessor> replaced;  ///< relieved once this process serves
  service_manager manager;
};

using reread_configuration = std::function<boost::system::result<configuration, config_errors>()>;

/// One process: keys, hash pool, TLS context, shards, internal port, signals. Construct, `start()`,
/// `run()` and destroy on one thread, the control thread.
class server {
 public:
  /// Loads keys and certificate and binds every socket; nothing is accepted yet.
  /// @param settings  validated, and complete for serving
  /// @param reread    reads the configuration again for SIGHUP; empty: only what its files hold is reloaded
  static boost::system::result<std::unique_ptr<server>, start_error> create(configuration settings,
                                                                            logger& log,
                                                                            reread_configuration reread = {},
                                                                            start_up given = {});
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  /// Starts the shards. `on_ready` runs on the control thread once all of them accept and a predecessor
  /// knows it. A process that replaces another one ends when it finds no database: the other serves on.
  void start(std::function<void()> on_ready);

  /// Serves until SIGTERM, SIGINT or `stop()`, then drains: readiness 503, `drain_delay`, listeners
  /// closed, running requests finished, `drain_timeout`, the rest cut. SIGINT is a person at a keyboard:
  /// no delay, and two seconds for what runs. A successor that took over: no delay, and the listeners live
  /// on. A second signal cuts what still runs. SIGHUP reopens the log,
  /// reads configuration, keys and certificates again, validates all of it, and then uses all or nothing.
  /// Completes when every thread has ended. @return false when a bug ended it
  bool run();

  /// As SIGINT does. Thread-safe.
  void stop();

  /// The bound ports. Thread-safe: what create() learned, whatever became of the listeners since.
  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::uint16_t internal_port() const { return internal_port_; }

 private:
  server(configuration settings, logger& log, crypto::key_ring keys, reread_configuration reread,
         start_up given);

  [[nodiscard]] boost::system::result<void, start_error> load_tls();
  [[nodiscard]] boost::system::result<void, start_error> make_shards();
  [[nodiscard]] boost::system::result<void, start_error> make_internal();
  [[nodiscard]] boost::system::result<void, start_error> make_control_socket();
  void keep_matching_listeners();
  void on_all_ready();
  void finish_take_over();
  void offer_listeners();
  void on_handed_over(pid_t successor);
  void prove_alive();
  void on_shard_ready(const std::optional<db::error>& missing);
  void report_suppressed();
  void await_signals();
  void on_stop_signal(int signal);
  void await_reload();
  void reload();
  struct reloaded;
  [[nodiscard]] bool reload_all();
  [[nodiscard]] reloaded read_again();
  void use(reloaded fresh);
  void apply_log_settings();
  struct drain_times {
    std::chrono::milliseconds delay;
    std::chrono::milliseconds timeout;
  };
  void begin_drain(drain_times times);
  boost::asio::awaitable<void> drain(drain_times times);

  configuration settings_;
  logger& log_;
  reread_configuration reread_;
  crypto::key_ring keys_;
  crypto::hash_pool hashes_;
  std::vector<const db::statement*> catalogue_;
  observation observed_;
  db::connect_turns turns_;
  db::replica_watch replicas_;
  std::vector<std::unique_ptr<net::tls_context>> tls_;  // the last is current; older ones may still serve
  std::vector<std::unique_ptr<net::tls_context>> internal_tls_;  // likewise
  shared_parts parts_;
  start_up given_;
  std::vector<std::unique_ptr<shard>> shards_;
  std::atomic<bool> is_draining_{false};
  boost::asio::io_context control_{1};
  boost::asio::signal_set stop_signals_{control_};
  boost::asio::signal_set reload_signals_{control_};
  boost::asio::steady_timer delay_{control_};
  boost::asio::steady_timer report_timer_{control_};
  boost::asio::steady_timer watchdog_timer_{control_};
  boost::asio::steady_timer drained_{control_, boost::asio::steady_timer::time_point::max()};
  internal_service internal_application_;
  std::unique_ptr<net::http_server> internal_;
  std::shared_ptr<control_socket> control_socket_;
  std::uint16_t port_ = 0;
  std::uint16_t internal_port_ = 0;
  std::size_t shards_pending_ = 0;
  std::size_t shards_silent_ = 0;  ///< that have not answered the watchdog's last question
  net::backlog backlog_ = net::backlog::served;
  bool has_failed_ = false;
  std::function<void()> on_ready_;
};

}  // namespace pam::runtime
