#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/deadline.hpp"
#include "async/gate.hpp"
#include "db/detail/canceller.hpp"
#include "db/detail/counter.hpp"
#include "db/detail/pg_session.hpp"

namespace pam::db::detail {

class lease_pool;

/// An exclusive connection; gives itself back. May outlive the pool's `close()`, not its shard.
class lease {
 public:
  lease() = default;
  lease(std::shared_ptr<lease_pool> pool, std::shared_ptr<pg_session> session);
  lease(lease&&) noexcept = default;
  lease& operator=(lease&& other) noexcept;
  ~lease() { give_back(); }

  [[nodiscard]] pg_session& operator*() const { return *session_; }
  [[nodiscard]] pg_session* operator->() const { return session_.get(); }
  [[nodiscard]] explicit operator bool() const { return session_ != nullptr; }
  void give_back();

 private:
  std::shared_ptr<lease_pool> pool_;
  std::shared_ptr<pg_session> session_;
};

/// Exclusive connections of one shard, opened on demand up to a limit. Whoever finds none free waits in
/// a bounded line, first come, first served, until its deadline. A connection that comes back inside a
/// transaction is rolled back first; one that is in doubt is closed. Always in a `shared_ptr`.
class lease_pool : public std::enable_shared_from_this<lease_pool> {
 public:
  using opener = std::function<boost::asio::awaitable<result<std::shared_ptr<pg_session>>>(async::deadline)>;

  lease_pool(boost::asio::io_context& context, std::size_t limit, std::size_t waiter_limit, opener open,
             std::shared_ptr<canceller> cancels);

  /// Errors, all `not_sent`: queue_full (too many wait), deadline (none came free), unavailable (none
  /// could be opened), closed.
  boost::asio::awaitable<result<lease>> acquire(async::deadline until);

  /// Closes the connections that nobody uses: they lead to a server that is not the primary any more.
  void drop_idle();

  /// Refuses from now on, closes idle connections, waits for leases until `until`, then cuts them off.
  boost::asio::awaitable<void> close(async::deadline until);

  [[nodiscard]] std::size_t in_use() const { return static_cast<std::size_t>(in_use_.get()); }
  [[nodiscard]] std::size_t waiters() const { return static_cast<std::size_t>(waiting_.get()); }
  /// Readable from any thread.
  [[nodiscard]] const counter& in_use_counter() const { return in_use_; }
  [[nodiscard]] const counter& waiters_counter() const { return waiting_; }

 private:
  friend class lease;
  struct waiter {
    explicit waiter(boost::asio::io_context& context) : turn(context) {}
    boost::asio::steady_timer turn;
    std::shared_ptr<pg_session> session;
    bool may_open = false;  ///< a place among the open connections is kept for it
    bool is_served = false;
  };

  /// A place among the open connections, free again unless it was filled.
  struct place {
    explicit place(lease_pool& pool) : owner(&pool) {}
    place(place&& other) noexcept : owner(std::exchange(other.owner, nullptr)) {}
    ~place() {
      if (owner != nullptr) owner->drop_place();
    }
    lease_pool* owner;
  };

  boost::asio::awaitable<result<lease>> open_one(place kept, async::deadline until);
  std::shared_ptr<pg_session> take_idle();
  lease hand_out(std::shared_ptr<pg_session> session);
  void take_back(std::shared_ptr<pg_session> session);
  void offer(std::shared_ptr<pg_session> session);
  void drop_place();
  void discard(const std::shared_ptr<pg_session>& session);
  static boost::asio::awaitable<void> roll_back(std::shared_ptr<lease_pool> self,
                                                std::shared_ptr<pg_session> session,
                                                async::gate::pass inside);

  boost::asio::io_context& context_;
  std::size_t limit_;
  std::size_t waiter_limit_;
  opener open_;
  std::shared_ptr<canceller> cancels_;
  async::gate gate_;  ///< of the rollbacks
  std::vector<std::shared_ptr<pg_session>> idle_;
  std::vector<std::weak_ptr<pg_session>> out_;
  std::vector<std::weak_ptr<pg_session>> rolling_back_;
  std::deque<waiter*> line_;
  std::size_t places_ = 0;  ///< connections open, being opened or being rolled back
  bool is_closing_ = false;
  boost::asio::steady_timer all_back_;
  counter in_use_;
  counter waiting_;
};

}  // namespace pam::db::detail
