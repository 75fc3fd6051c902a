#include "server/auth/sessions.hpp"

#include <optional>
#include <utility>

#include "async/counting.hpp"
#include "server/crypto/secret.hpp"

namespace pam::auth {
namespace {

using async::count;

error failed(errc code) {
  error failure;
  failure.code = code;
  return failure;
}

session_key key_of(const crypto::refresh_token& token) {
  return session_key{token.account, token.session};
}

/// The row's current token, if the presented one carries the session's salt: recomputed under the refresh
/// key that signs now, then under the others, since keys may have changed since the row was written.
std::optional<crypto::refresh_token> prove(const crypto::key_ring& keys,
                                           const crypto::refresh_token& presented,
                                           const session_state& state) {
  for (std::size_t nth = 0; nth < keys.refresh_keys(); ++nth) {
    crypto::refresh_token current = keys.derive(presented, state.facts.generation, nth);
    const auto hash = crypto::hash_of(current);
    if (crypto::equal(hash, state.current)) return current;
  }
  return std::nullopt;
}

/// Whether a bearer whose token verified may act, by the rows as they are now.
result<void> judge_bearer(const bearer_row& row, std::int64_t issued_at, timestamp now) {
  if (row.deleted_at) return failed(errc::account_not_found);
  if (!row.has_session || row.is_session_revoked) return failed(errc::session_not_found);
  if (row.session_expires_at <= now || row.session_absolute_expires_at <= now)
    return failed(errc::session_not_found);
  // `iat` has whole seconds: a token of the very second of the cut is let in, never one of a second before.
  if (row.tokens_valid_after &&
      std::chrono::floor<std::chrono::seconds>(*row.tokens_valid_after).time_since_epoch().count() >
          issued_at) {
    return failed(errc::session_not_found);
  }
  if (row.banned_until && *row.banned_until > now) return failed(errc::account_banned);
  return {};
}

// A refresh that lost a race is judged again; each round reads a newer row, so two lost rounds already
// need an unlikely sequence of other writers.
constexpr int max_rounds = 4;

}  // namespace

boost::asio::awaitable<result<grant>> sessions::refresh(crypto::refresh_token presented,
                                                        async::deadline deadline) {
  if (!keys_.is_genuine(presented)) {
    count(statistics_.not_genuine);
    co_return failed(errc::refresh_token_not_found);
  }
  if (!cut_.lets_in(presented.session)) {
    auto is_after_cut = co_await check_cut(presented.session, deadline);
    if (is_after_cut.has_error()) co_return is_after_cut.error();
  }
  // One moment for all rounds: a rotation of ours whose answer was lost is recognised by it.
  const timestamp now = clock_now();
  for (int round = 0; round < max_rounds; ++round) {
    auto rotated = co_await rotate(presented, now, deadline);
    if (rotated.has_error()) co_return rotated.error();
    if (rotated->has_value()) co_return std::move(**rotated);

    auto state = co_await repository_.find_state(key_of(presented), now, deadline);
    if (state.has_error()) {
      // An earlier sending of the rotation may be what took the token away: only the row would tell.
      error lost = state.error();
      lost.may_have_happened = true;
      co_return lost;
    }
    session_state row;
    std::optional<judged_row> facts;
    bool is_proven = false;
    if (state->has_value()) {
      row = **state;
      facts = row.facts;
      is_proven = prove(keys_, presented, row).has_value();
    }
    verdict decision = judge(facts, presented.generation, is_proven, now, policy_);
    // The statement was sent twice, around a lost connection, and the first one had been committed.
    const bool is_own_rotation = decision == verdict::theft && facts->refreshed_at == now &&
                                 facts->generation == presented.generation + 1;
    if (is_own_rotation) decision = verdict::repeat;
    auto done = co_await carry_out(decision, presented, row, now, deadline);
    if (done.has_error()) co_return done.error();
    if (done->has_value()) co_return std::move(**done);
  }
  error busy = failed(errc::unavailable);
  busy.reason = "refresh_race";
  co_return busy;
}

boost::asio::awaitable<result<std::optional<grant>>> sessions::rotate(crypto::refresh_token presented,
                                                                      timestamp now,
                                                                      async::deadline deadline) {
  crypto::refresh_token successor = keys_.derive(presented, presented.generation + 1);
  auto row =
      co_await repository_.rotate(key_of(presented), crypto::hash_of(presented), presented.generation,
                                  crypto::hash_of(successor), now + policy_.idle_lifetime, now, deadline);
  if (row.has_error()) co_return row.error();
  std::optional<grant> granted;
  if (row->has_value()) {
    count(statistics_.rotated);
    granted = grant{std::move((*row)->account), std::move((*row)->session), successor};
  }
  co_return granted;
}

boost::asio::awaitable<result<std::optional<grant>>> sessions::carry_out(verdict decision,
                                                                         crypto::refresh_token presented,
                                                                         session_state state, timestamp now,
                                                                         async::deadline deadline) {
  std::optional<grant> granted;
  switch (decision) {
    case verdict::not_found:
      co_return failed(errc::refresh_token_not_found);
    case verdict::unproven:
      count(statistics_.unproven_salt);
      co_return failed(errc::refresh_token_not_found);
    case verdict::ended:
      co_return failed(errc::session_not_found);
    case verdict::expired:
      co_return failed(errc::session_expired);
    case verdict::banned:
      co_return failed(errc::account_banned);
    case verdict::rotate_again:
      co_return granted;
    case verdict::repeat:
    case verdict::repeat_counted: {
      const bool is_counted = decision == verdict::repeat_counted;
      const auto current = prove(keys_, presented, state);
      auto row =
          co_await repository_.repeat(key_of(presented), state.facts.generation, is_counted, now, deadline);
      if (row.has_error()) co_return row.error();
      if (!row->has_value()) co_return granted;  // the row moved on: judge it again
      count(is_counted ? statistics_.repeated_counted : statistics_.repeated);
      // One event a rotation, however many tabs ask for it again.
      co_await log(presented, "refresh_repeated", state.facts.refreshed_at, deadline);
      granted = grant{std::move((*row)->account), std::move((*row)->session), *current};
      co_return granted;
    }
    case verdict::resync: {
      crypto::refresh_token successor = keys_.derive(presented, presented.generation + 1);
      auto row =
          co_await repository_.resync(key_of(presented), state.current, successor.generation,
                                      crypto::hash_of(successor), now + policy_.idle_lifetime, now, deadline);
      if (row.has_error()) co_return row.error();
      if (!row->has_value()) co_return granted;
      count(statistics_.resynced);
      co_await log(presented, "refresh_resynced", now, deadline);
      granted = grant{std::move((*row)->account), std::move((*row)->session), successor};
      co_return granted;
    }
    case verdict::theft: {
      auto ended =
          co_await repository_.end(key_of(presented), revoke_reason::refresh_token_reused, now, deadline);
      if (ended.has_error()) co_return ended.error();
      count(statistics_.reused);
      co_return failed(errc::refresh_token_reused);
    }
  }
  co_return failed(errc::internal);
}

boost::asio::awaitable<result<void>> sessions::check_cut(uuid session, async::deadline deadline) {
  auto cut = co_await cut_.valid_after(deadline);
  if (cut.has_error()) co_return cut.error();
  if (session_start(session) < *cut) co_return failed(errc::session_not_found);
  co_return result<void>{};
}

boost::asio::awaitable<result<std::optional<timestamp>>> sessions::current_until(
    crypto::refresh_token presented, async::deadline deadline) {
  std::optional<timestamp> end;
  if (!keys_.is_genuine(presented)) co_return end;
  auto cut = co_await cut_.valid_after(deadline);
  if (cut.has_error()) co_return cut.error();
  if (session_start(presented.session) < *cut) co_return end;
  const timestamp now = clock_now();
  auto state = co_await repository_.find_state(key_of(presented), now, deadline);
  if (state.has_error()) co_return state.error();
  if (!state->has_value()) co_return end;
  const session_state& row = **state;
  const bool is_proven = prove(keys_, presented, row).has_value();
  // What the judge calls "rotate again" is the row's current token in a session that lives.
  if (judge(row.facts, presented.generation, is_proven, now, policy_) == verdict::rotate_again)
    end = std::min(row.facts.expires_at, row.facts.absolute_expires_at);
  co_return end;
}

boost::asio::awaitable<result<void>> sessions::revoke(crypto::refresh_token presented,
                                                      async::deadline deadline) {
  if (!keys_.is_genuine(presented)) co_return result<void>{};
  auto state = co_await repository_.find_state(key_of(presented), clock_now(), deadline);
  if (state.has_error()) co_return state.error();
  // As for a refresh: a stolen key alone must not end anything.
  if (!state->has_value() || !prove(keys_, presented, **state)) co_return result<void>{};
  co_return co_await revoke(key_of(presented), deadline);
}

boost::asio::awaitable<result<void>> sessions::revoke(session_key session, async::deadline deadline) {
  auto ended = co_await repository_.end(session, revoke_reason::token_revoked, clock_now(), deadline);
  if (ended.has_error()) co_return ended.error();
  co_return result<void>{};
}

boost::asio::awaitable<result<timestamp>> sessions::end_everybody(administrator by,
                                                                  async::deadline deadline) {
  return cut_.move(clock_now(), std::move(by), deadline);
}

// The answer does not depend on it: what could not be written is counted.
boost::asio::awaitable<void> sessions::log(crypto::refresh_token presented, std::string kind, timestamp when,
                                           async::deadline deadline) {
  const session_key key = key_of(presented);
  audit_event event;
  event.account = key.account;
  event.occurred_at = when;
  event.id = key.session;
  event.kind = std::move(kind);
  event.session = key.session;
  auto written = co_await audit_.record(std::move(event), deadline);
  if (written.has_error()) count(statistics_.unlogged);
}

boost::asio::awaitable<result<db::wal_position>> sessions::check(bearer who, async::deadline deadline) {
  if (!cut_.lets_in(who.key.session)) {
    auto is_after_cut = co_await check_cut(who.key.session, deadline);
    if (is_after_cut.has_error()) co_return is_after_cut.error();
  }
  auto found = co_await repository_.find_bearer(who.key, deadline);
  if (found.has_error()) co_return found.error();
  if (!found->has_value()) co_return failed(errc::account_not_found);
  auto judged = judge_bearer(**found, who.issued_at, clock_now());
  if (judged.has_error()) co_return judged.error();
  co_return (*found)->seen;
}

boost::asio::awaitable<result<account>> sessions::read(bearer who, async::deadline deadline) {
  if (!cut_.lets_in(who.key.session)) {
    auto is_after_cut = co_await check_cut(who.key.session, deadline);
    if (is_after_cut.has_error()) co_return is_after_cut.error();
  }
  auto found = co_await repository_.find_bearer_account(who.key, deadline);
  if (found.has_error()) co_return found.error();
  if (!found->has_value()) co_return failed(errc::account_not_found);
  auto judged = judge_bearer((*found)->facts, who.issued_at, clock_now());
  if (judged.has_error()) co_return judged.error();
  co_return std::move((*found)->account);
}

boost::asio::awaitable<result<void>> sessions::sign_out(bearer who, sign_out_scope scope,
                                                        async::deadline deadline) {
  const timestamp now = clock_now();
  if (scope == sign_out_scope::local) {
    auto ended = co_await repository_.end(who.key, revoke_reason::signed_out, now, deadline);
    if (ended.has_error()) co_return ended.error();
    co_return result<void>{};
  }
  session_key keep{who.key.account, uuid{}};
  if (scope == sign_out_scope::others) keep.session = who.key.session;
  auto ended = co_await repository_.end_others(keep, revoke_reason::signed_out, now, deadline);
  if (ended.has_error()) co_return ended.error();
  co_return result<void>{};
}

boost::asio::awaitable<result<std::vector<session>>> sessions::list(bearer who, async::deadline deadline) {
  if (repository_.has_replicas()) co_return co_await list_on_replica(who, deadline);
  auto cut = co_await cut_.valid_after(deadline);
  if (cut.has_error()) co_return cut.error();
  if (session_start(who.key.session) < *cut) co_return failed(errc::session_not_found);
  auto found = co_await repository_.find_bearer_sessions(who.key, *cut, clock_now(), deadline);
  if (found.has_error()) co_return found.error();
  if (!found->has_value()) co_return failed(errc::account_not_found);
  auto judged = judge_bearer((*found)->facts, who.issued_at, clock_now());
  if (judged.has_error()) co_return judged.error();
  co_return std::move((*found)->sessions);
}

boost::asio::awaitable<result<std::vector<session>>> sessions::list_on_replica(bearer who,
                                                                               async::deadline deadline) {
  auto seen = co_await check(who, deadline);
  if (seen.has_error()) co_return seen.error();
  auto cut = co_await cut_.valid_after(deadline);
  if (cut.has_error()) co_return cut.error();
  co_return co_await repository_.list(who.key.account, *seen, *cut, clock_now(), deadline);
}

boost::asio::awaitable<result<void>> sessions::end(bearer who, uuid session, async::deadline deadline) {
  const session_key key{who.key.account, session};
  auto ended = co_await repository_.end(key, revoke_reason::ended_by_user, clock_now(), deadline);
  if (ended.has_error()) co_return ended.error();
  if (!*ended) co_return failed(errc::session_not_found);
  co_return result<void>{};
}

}  // namespace pam::auth
