#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/deadline.hpp"
#include "async/gate.hpp"
#include "db/connect_turns.hpp"
#include "db/database.hpp"
#include "db/replica_watch.hpp"
#include "server/api/service.hpp"
#include "server/net/http_server.hpp"
#include "server/runtime/config.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/request_observer.hpp"
#include "server/runtime/upkeep.hpp"

namespace pam::runtime {

/// What the shards of a process share: immutable, or safe for every thread.
struct shared_parts {
  const configuration& settings;
  const crypto::key_ring& keys;
  crypto::hash_pool& hashes;
  const std::vector<const db::statement*>& catalogue;
  logger& log;
  observation& observed;
  db::connect_turns& turns;
  db::replica_watch& replicas;
  auth::breach_check* breaches;  ///< null: nobody is asked
};

/// One thread with one io_context and everything a request needs: listener, connections, database
/// pipelines, services, counters. Nothing of it is touched by another thread, statistics apart.
class shard {
 public:
  shard(const shared_parts& parts, std::size_t index, const net::tls_context* tls);
  ~shard();
  shard(const shard&) = delete;
  shard& operator=(const shard&) = delete;

  /// Binds the listening socket. Before `run()`, on the caller's thread.
  [[nodiscard]] boost::system::result<void, net::listen_error> listen();
  /// Listens on a socket that was bound by somebody else; see http_server::adopt.
  [[nodiscard]] boost::system::result<void, net::listen_error> adopt(net::unique_fd listening);
  [[nodiscard]] std::uint16_t port() const { return http_.port(); }

  /// What a shard tells its server, on the shard's thread.
  struct events {
    std::function<void(std::optional<db::error>)>
        ready;                                ///< it accepts; why the database is not there yet, if so
    std::function<void(std::string)> failed;  ///< a bug: the process should end
  };

  /// Starts the thread: connects the database, then accepts.
  /// @param needs_database  fail rather than accept without one
  void run(events to, bool needs_database = false);

  /// Finishes what runs, closes connections and database, and lets the thread end; then calls `done` on
  /// the shard. Thread-safe, once.
  void drain(async::deadline deadline, net::backlog waiting, std::function<void()> done);
  void join();

  /// Moves the deadline of a drain under way to now. Thread-safe.
  void hurry();

  /// Runs `answer` on the shard: a shard that is stuck never does. Thread-safe.
  void ask(std::function<void()> answer);

  /// New connections use this context. Thread-safe; `tls` must outlive the shard.
  void use(const net::tls_context* tls);

  [[nodiscard]] bool is_ready() const { return database_.stats().connections_ready > 0; }
  [[nodiscard]] const net::http_server& http() const { return http_; }
  [[nodiscard]] const db::database& database() const { return database_; }
  [[nodiscard]] const api::service& application() const { return application_; }
  [[nodiscard]] const auth::accounts& accounts() const { return accounts_; }
  [[nodiscard]] const auth::sessions& sessions() const { return sessions_; }
  [[nodiscard]] const request_observer& requests() const { return requests_; }
  /// The process's upkeep, on its first shard; null on the others.
  [[nodiscard]] const runtime::upkeep* upkeep() const { return upkeep_.get(); }

 private:
  boost::asio::awaitable<void> start(bool needs_database);
  boost::asio::awaitable<void> finish(async::deadline deadline, net::backlog waiting);

  boost::asio::io_context context_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_;
  logger& log_;
  std::size_t index_;
  events events_;
  request_observer requests_;
  db::database database_;
  auth::access_tokens tokens_;
  auth::accounts accounts_;
  auth::sessions sessions_;
  api::service application_;
  net::http_server http_;
  std::unique_ptr<runtime::upkeep> upkeep_;
  std::thread thread_;
};

}  // namespace pam::runtime
