#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "server/auth/audit_repository.hpp"
#include "server/auth/error.hpp"
#include "server/auth/session_repository.hpp"
#include "server/auth/token_cut.hpp"
#include "server/auth/types.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::auth {

/// What happened to refreshes. Written on the shard, readable from any thread.
struct session_statistics {
  std::atomic<std::uint64_t> rotated{0};
  std::atomic<std::uint64_t> repeated{0};          ///< identical successor within the reuse interval
  std::atomic<std::uint64_t> repeated_counted{0};  ///< identical successor after a lost response
  std::atomic<std::uint64_t> resynced{0};          ///< ahead of the row after a failover or restore
  std::atomic<std::uint64_t> not_genuine{0};       ///< refused by the HMAC, without database work
  std::atomic<std::uint64_t> unproven_salt{0};     ///< genuine HMAC, wrong salt: the refresh key may be out
  std::atomic<std::uint64_t> reused{0};            ///< theft: the session was ended
  std::atomic<std::uint64_t> unlogged{0};          ///< repeats and resyncs the audit log did not take
};

enum class sign_out_scope : std::uint8_t { local, global, others };

/// Whom a verified access token speaks for.
struct bearer {
  session_key key;
  std::int64_t issued_at = 0;  ///< Unix seconds, the token's `iat`
};

/// Sessions: refresh, the bearer check, sign-out, list. One object a shard.
/// Shard: every member but `stats()` is called on the shard that owns the object.
class sessions {
 public:
  /// @param keys  must outlive the object
  sessions(db::database& database, const crypto::key_ring& keys, session_policy policy)
      : repository_(database), cut_(database), audit_(database), keys_(keys), policy_(policy) {}

  /// Rotates a refresh token and returns the next pair's grant, or the identical successor where a
  /// response may have been lost (refresh_judge.hpp).
  /// At most one caller wins for a given token. A token that is not genuine costs no database work.
  /// Errors: refresh_token_not_found, refresh_token_reused (the session is ended), session_not_found,
  /// session_expired, account_banned; overloaded and unavailable mean that a retry with the same token
  /// is safe.
  boost::asio::awaitable<result<grant>> refresh(crypto::refresh_token presented, async::deadline deadline);

  /// Reads session and account on the primary and says whether the bearer may act.
  /// @return how far the primary's log was then
  /// Errors: session_not_found, session_expired (as not found), account_not_found, account_banned.
  boost::asio::awaitable<result<db::wal_position>> check(bearer who, async::deadline deadline);

  /// The same check and the bearer's account, in one statement.
  boost::asio::awaitable<result<account>> read(bearer who, async::deadline deadline);

  boost::asio::awaitable<result<void>> sign_out(bearer who, sign_out_scope scope, async::deadline deadline);
  /// The check and the bearer's live sessions, newest first, at most 100: in one statement, or, where there
  /// are replicas, from one that shows all that the check saw.
  boost::asio::awaitable<result<std::vector<session>>> list(bearer who, async::deadline deadline);
  /// Ends one of the bearer's own sessions; session_not_found when it is not his or has ended.
  boost::asio::awaitable<result<void>> end(bearer who, uuid session, async::deadline deadline);

  /// Until when a refresh token is its session's current one; nullopt when it is not, or not genuine.
  /// Nothing is written. Errors: overloaded, unavailable, internal.
  boost::asio::awaitable<result<std::optional<timestamp>>> current_until(crypto::refresh_token presented,
                                                                         async::deadline deadline);

  /// Ends the session of a refresh token of any generation, once its salt is proven. Does nothing, without
  /// an error, for a token that is not genuine and a session that is over.
  boost::asio::awaitable<result<void>> revoke(crypto::refresh_token presented, async::deadline deadline);
  /// The same for a session named by a verified access token.
  boost::asio::awaitable<result<void>> revoke(session_key session, async::deadline deadline);

  /// Ends every session of everybody that began before now; every process obeys within a second. Stands in
  /// the audit log under the nil account.
  /// @return the moment from which on sessions count
  boost::asio::awaitable<result<timestamp>> end_everybody(administrator by, async::deadline deadline);

  [[nodiscard]] const session_policy& policy() const { return policy_; }
  [[nodiscard]] const session_statistics& stats() const { return statistics_; }

 private:
  /// What the judge decided, carried out; nullopt asks for another round.
  boost::asio::awaitable<result<std::optional<grant>>> carry_out(verdict decision,
                                                                 crypto::refresh_token presented,
                                                                 session_state state, timestamp now,
                                                                 async::deadline deadline);
  boost::asio::awaitable<result<std::optional<grant>>> rotate(crypto::refresh_token presented, timestamp now,
                                                              async::deadline deadline);
  /// Writes an event of the presented token's session, once for the same moment.
  boost::asio::awaitable<void> log(crypto::refresh_token presented, std::string kind, timestamp when,
                                   async::deadline deadline);

  boost::asio::awaitable<result<std::vector<session>>> list_on_replica(bearer who, async::deadline deadline);

  /// `session_not_found` when the session began before the cut for everybody.
  boost::asio::awaitable<result<void>> check_cut(uuid session, async::deadline deadline);

  session_repository repository_;
  token_cut cut_;
  audit_repository audit_;
  const crypto::key_ring& keys_;
  session_policy policy_;
  session_statistics statistics_;
};

}  // namespace pam::auth
