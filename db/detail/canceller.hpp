#pragma once

#include <list>
#include <memory>
#include <thread>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

#include "async/gate.hpp"
#include "db/detail/pg_session.hpp"

namespace pam::db::detail {

/// Sends cancel requests, each from a short-lived thread: libpq 15 can only do it blocking. A closed
/// socket alone does not end what a backend waits for, nor give back its locks. Always in a `shared_ptr`.
class canceller : public std::enable_shared_from_this<canceller> {
 public:
  explicit canceller(boost::asio::io_context& context) : context_(context), gate_(context.get_executor()) {}
  ~canceller() { join(); }
  canceller(const canceller&) = delete;
  canceller& operator=(const canceller&) = delete;

  /// Asks the server to end what runs on `session`, which may be closed at once. Does nothing through a
  /// pooler (closing is enough there), when nothing runs, and when too many requests are under way.
  void send(const pg_session& session);

  /// Sends no more and waits for those under way; each ends within libpq's `tcp_user_timeout`.
  boost::asio::awaitable<void> close() { co_await gate_.close(); }
  /// The same for a destructor: blocks.
  void join();

 private:
  struct request {
    async::gate::pass inside;
    std::thread thread;
  };
  void finished(std::list<request>::iterator which);

  boost::asio::io_context& context_;
  async::gate gate_;
  std::list<request> requests_;
};

}  // namespace pam::db::detail
