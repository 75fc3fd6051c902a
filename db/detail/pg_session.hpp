#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/deadline.hpp"
#include "db/config.hpp"
#include "db/detail/fd_watch.hpp"
#include "db/detail/pg_handle.hpp"
#include "db/result.hpp"

namespace pam::db {
struct statement;
class params;
}  // namespace pam::db

namespace pam::db::detail {

/// Something a closing database does not want to wait for.
class stoppable {
 public:
  virtual ~stoppable() = default;
  virtual void stop() = 0;
};

/// What is being connected right now, so that closing can cut it short.
class stop_list {
 public:
  void add(const std::shared_ptr<stoppable>& one) {
    std::erase_if(all_, [](const std::weak_ptr<stoppable>& old) { return old.expired(); });
    all_.push_back(one);
  }
  /// It is connected now: closing has other ways to end it.
  void remove(const std::shared_ptr<stoppable>& one) {
    std::erase_if(all_, [&](const std::weak_ptr<stoppable>& other) { return other.lock() == one; });
  }
  void stop_all() {
    is_stopped_ = true;
    for (const auto& weak : std::exchange(all_, {})) {
      if (const auto one = weak.lock()) one->stop();
    }
  }
  [[nodiscard]] bool is_stopped() const { return is_stopped_; }

 private:
  std::vector<std::weak_ptr<stoppable>> all_;
  bool is_stopped_ = false;
};

/// One libpq connection on a shard: connecting, waiting on its socket, and one statement at a time.
/// Pipelines take the handle over with `get()` and `watch()`. Always in a `shared_ptr`.
class pg_session : public stoppable, public std::enable_shared_from_this<pg_session> {
 public:
  enum class direction : std::uint8_t { read, write };

  explicit pg_session(boost::asio::io_context& context) : watch_(context), timer_(context) {}
  ~pg_session() override { close(); }
  pg_session(const pg_session&) = delete;
  pg_session& operator=(const pg_session&) = delete;

  [[nodiscard]] PGconn* get() const { return connection_.get(); }
  [[nodiscard]] fd_watch& watch() { return watch_; }

  /// True when nothing stands between us and the backend: it can be asked to cancel.
  [[nodiscard]] bool is_direct() const { return is_direct_; }
  void set_direct(bool value) { is_direct_ = value; }
  /// To be closed when it comes back: it leads to a server that is not the primary.
  [[nodiscard]] bool is_retired() const { return is_retired_; }
  void retire() { is_retired_ = true; }

  /// Connected, and no statement was left half done.
  [[nodiscard]] bool is_usable() const;
  /// Outside a transaction and with nothing under way; notices a server that hung up meanwhile.
  [[nodiscard]] bool is_clean();

  /// Waits for the socket; false when the deadline passed or the caller was cancelled.
  boost::asio::awaitable<bool> wait(direction what, async::deadline until);

  /// Runs one statement outside pipeline mode, unnamed, with binary results. A lost connection or a
  /// passed deadline gives `outcome::unknown` and leaves the session unusable.
  boost::asio::awaitable<result<pg_result_ptr>> run(const statement& what, const params& values,
                                                    async::deadline until);
  /// The same for a parameterless text by the simple protocol, which PgBouncer's console demands;
  /// results are text.
  boost::asio::awaitable<result<pg_result_ptr>> run_simple(const char* sql, async::deadline until);

  /// Writes out libpq's buffer; false when the connection broke or the deadline passed.
  boost::asio::awaitable<bool> flush(async::deadline until);
  /// libpq's next result, null between statements; false in `is_alive` when the connection broke or the
  /// deadline passed.
  struct answer {
    pg_result_ptr result;
    bool is_alive = false;
  };
  boost::asio::awaitable<answer> next(async::deadline until);

  /// Closes the connection; whoever waits is woken.
  void close();
  void stop() override { close(); }

 private:
  friend boost::asio::awaitable<result<std::shared_ptr<pg_session>>> connect_session(
      boost::asio::io_context& context, stop_list& stops, const config& settings, const endpoint& where,
      const std::string& database, async::deadline until);
  boost::asio::awaitable<result<pg_result_ptr>> read_one(async::deadline until);
  boost::asio::awaitable<bool> establish(async::deadline until);

  // Order matters: the watch must let go of the descriptor before PQfinish closes it.
  pg_connection connection_;
  fd_watch watch_;
  boost::asio::steady_timer timer_;
  std::uint64_t wait_number_ = 0;
  bool is_broken_ = false;
  bool is_direct_ = false;
  bool is_retired_ = false;
};

/// Connects to one endpoint. A host name is resolved on Asio's resolver thread and every address tried
/// in turn; `PQconnectStart` itself then has nothing to look up and does not block.
/// The references must outlive the call; `stops` can end it early. Errors: `unavailable`, `not_sent`.
boost::asio::awaitable<result<std::shared_ptr<pg_session>>> connect_session(
    boost::asio::io_context& context, stop_list& stops, const config& settings, const endpoint& where,
    const std::string& database, async::deadline until);

}  // namespace pam::db::detail
