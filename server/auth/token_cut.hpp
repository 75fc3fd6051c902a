#pragma once

#include <chrono>
#include <memory>
#include <span>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "db/database.hpp"
#include "server/auth/error.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// The moment before which everybody's sessions are over (table `token_cut`).
///
/// Nobody polls: a shard that judges sessions reads the row again when what it knows is older than
/// `refresh_after`, one request at a time, and every request waits for such a read when that is older than
/// `max_age`. So nobody is judged by what was known more than 0.8 s before he came, also after a restart
/// and whatever happened to a background task, and an idle shard asks nothing.
/// Shard: called on the shard that owns it.
class token_cut {
 public:
  static constexpr std::chrono::milliseconds refresh_after{400};
  static constexpr std::chrono::milliseconds max_age{800};

  explicit token_cut(db::database& database) : database_(database) {}

  /// True when what is known is young enough and the session began after it, which is nearly always: the
  /// answer needs no statement and hence no coroutine. False: `valid_after` decides.
  [[nodiscard]] bool lets_in(const uuid& session) const;

  /// Errors: the database's; a missing row is `internal`. Without an answer nobody may be let in.
  boost::asio::awaitable<result<timestamp>> valid_after(async::deadline deadline);

  /// Moves the cut forward, never back, and says so in the audit log, both or neither. @return where it is
  /// now
  boost::asio::awaitable<result<timestamp>> move(timestamp to, administrator by, async::deadline deadline);

  static std::span<const db::statement* const> statements();

 private:
  using clock = std::chrono::steady_clock;
  class reading;

  boost::asio::awaitable<result<timestamp>> read(async::deadline deadline);
  [[nodiscard]] bool is_young(clock::time_point now) const;
  void learn(timestamp valid_after, clock::time_point as_of);

  db::database& database_;
  timestamp valid_after_{};
  clock::time_point as_of_ = clock::time_point::min();
  std::shared_ptr<reading> newest_;  ///< under way; null: none
};

/// When a session began, from its id (UUIDv7), in milliseconds.
[[nodiscard]] timestamp session_start(const uuid& session);

}  // namespace pam::auth
