#pragma once

#include <optional>
#include <span>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "db/database.hpp"
#include "server/auth/error.hpp"
#include "server/auth/refresh_judge.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// Names a session the way every statement needs it: shard (account) and partition (session).
struct session_key {
  uuid account{};
  uuid session{};
};

/// What the refresh judge needs of a row, and the hash its salt proof is compared with.
struct session_state {
  judged_row facts;
  crypto::refresh_token_hash current{};
};

/// An account with one of its sessions.
struct account_session {
  auth::account account;
  auth::session session;
};

/// What a bearer check reads.
struct bearer_row {
  bool has_session = false;
  bool is_session_revoked = false;
  timestamp session_expires_at{};
  timestamp session_absolute_expires_at{};
  std::optional<timestamp> banned_until;
  std::optional<timestamp> deleted_at;
  std::optional<timestamp> tokens_valid_after;
  db::wal_position seen;  ///< the primary's log when the row was read; known from find_bearer alone
};

/// A bearer's account, and what decides whether he may see it.
struct bearer_account {
  bearer_row facts;
  auth::account account;
};

/// A bearer's live sessions, and what decides whether he may see them.
struct bearer_sessions {
  bearer_row facts;
  std::vector<session> sessions;
};

/// The SQL of `sessions`. Errors are the domain's; nothing is judged here.
class session_repository {
 public:
  explicit session_repository(db::database& database) : database_(database) {}

  /// The hot statement: replaces token hash and generation if the row still holds `presented`.
  /// @return nullopt when no row matched; then `find_state` and the judge decide
  boost::asio::awaitable<result<std::optional<account_session>>> rotate(
      session_key key, crypto::refresh_token_hash presented, std::uint32_t generation,
      crypto::refresh_token_hash successor, timestamp idle_end, timestamp now, async::deadline deadline);

  boost::asio::awaitable<result<std::optional<session_state>>> find_state(session_key key, timestamp now,
                                                                          async::deadline deadline);

  /// Reads what a repeated answer is made of, and counts the repeat when `is_counted`.
  /// @return nullopt when the row has moved on from `generation` or its repeats are used up
  boost::asio::awaitable<result<std::optional<account_session>>> repeat(session_key key,
                                                                        std::uint32_t generation,
                                                                        bool is_counted, timestamp now,
                                                                        async::deadline deadline);

  /// Moves a row that lost rotations forward to `generation`, if it still holds `stored`.
  boost::asio::awaitable<result<std::optional<account_session>>> resync(
      session_key key, crypto::refresh_token_hash stored, std::uint32_t generation,
      crypto::refresh_token_hash successor, timestamp idle_end, timestamp now, async::deadline deadline);

  /// Ends one session. @return false when it did not exist or had already ended
  boost::asio::awaitable<result<bool>> end(session_key key, revoke_reason why, timestamp now,
                                           async::deadline deadline);
  /// Ends the account's sessions except `keep` (nil: none is kept). @return how many
  boost::asio::awaitable<result<std::int64_t>> end_others(session_key keep, revoke_reason why, timestamp now,
                                                          async::deadline deadline);
  /// Live sessions that began at `not_before` or later, newest first, at most 100. A replica may answer that
  /// has replayed `seen`.
  boost::asio::awaitable<result<std::vector<session>>> list(uuid account, db::wal_position seen,
                                                            timestamp not_before, timestamp now,
                                                            async::deadline deadline);

  /// @return nullopt when the account does not exist
  boost::asio::awaitable<result<std::optional<bearer_row>>> find_bearer(session_key key,
                                                                        async::deadline deadline);
  /// The same with the account and its identities, in one statement.
  boost::asio::awaitable<result<std::optional<bearer_account>>> find_bearer_account(session_key key,
                                                                                    async::deadline deadline);
  /// The same with what `list` lists, in one statement: better than both where no replica takes the list.
  boost::asio::awaitable<result<std::optional<bearer_sessions>>> find_bearer_sessions(
      session_key key, timestamp not_before, timestamp now, async::deadline deadline);

  /// Whether `list` may be answered by a replica.
  [[nodiscard]] bool has_replicas() const { return database_.has_replicas(); }

  /// `end_others` for a caller that holds a transaction.
  static const db::statement& end_others_statement();
  static db::params end_others_params(const session_key& keep, revoke_reason why, timestamp now);

  static std::span<const db::statement* const> statements();

 private:
  db::database& database_;
};

}  // namespace pam::auth
