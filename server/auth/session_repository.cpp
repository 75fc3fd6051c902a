#include "server/auth/session_repository.hpp"

#include <algorithm>
#include <array>
#include <functional>

#include "server/auth/detail/sql_text.hpp"
#include "server/auth/detail/uuid_floor.hpp"
#include "server/auth/detail/with_partitions.hpp"
#include "server/auth/row_readers.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

using db::pg_type;
using detail::account_list;
using detail::identity_list;
using detail::session_list;

constexpr db::statement::options session_write(const char* summary) {
  return {.rank = db::lock_rank::session, .conflict_key = 1, .summary = summary};
}
constexpr std::size_t session_at = detail::account_columns + detail::identity_columns;

// Parts of the statement for one caller and of that for several.
constexpr char rotate_set[] =
    "WITH s AS (UPDATE sessions SET refresh_token = $4, generation = sessions.generation + 1, repeats = 0, "
    "refreshed_at = greatest(sessions.refreshed_at, $7), "
    "expires_at = least($6, sessions.absolute_expires_at) ";
constexpr char rotate_live_session[] = "AND sessions.revoked_at IS NULL AND sessions.expires_at > $7 ";
constexpr char rotate_live_account[] =
    "AND accounts.deleted_at IS NULL AND (accounts.banned_until IS NULL OR accounts.banned_until <= $7) ";
constexpr char rotate_returning[] =
    "sessions.id, sessions.account_id, sessions.created_at, sessions.refreshed_at, sessions.expires_at, "
    "sessions.absolute_expires_at, sessions.aal, sessions.amr, sessions.ip, sessions.user_agent) SELECT ";

// A row of a partition for each caller, in the order of their keys; see `together` in db/statement.hpp for
// the LIMIT and for the equalities that are none. The account's state is looked up by key, once a caller
// (OFFSET 0).
constexpr auto rotate_several_sql = detail::sql(
    detail::of_each_caller<rotate_set>().text,
    "FROM (SELECT k.*, accounts.tokens_valid_after FROM unnest((SELECT $1), (SELECT $2), (SELECT $3), "
    "(SELECT $4), (SELECT $5), (SELECT $6), (SELECT $7)) WITH ORDINALITY "
    "AS k(p1, p2, p3, p4, p5, p6, p7, n) CROSS JOIN LATERAL (SELECT accounts.tokens_valid_after FROM "
    "accounts WHERE accounts.id = k.p1 ",
    detail::of_each_caller<rotate_live_account>().text,
    "OFFSET 0) accounts LIMIT (SELECT cardinality($1))) k WHERE sessions.id = ANY (ARRAY[k.p2]) "
    "AND sessions.account_id IS NOT DISTINCT FROM k.p1 AND sessions.refresh_token IS NOT DISTINCT FROM k.p3 "
    "AND sessions.generation IS NOT DISTINCT FROM k.p5 ",
    detail::of_each_caller<rotate_live_session>().text,
    "AND (k.tokens_valid_after IS NULL OR k.tokens_valid_after <= sessions.created_at) RETURNING k.n, ",
    rotate_returning, "s.n, ", account_list, ", ", identity_list, ", ", session_list,
    " FROM s JOIN accounts a ON a.id = s.account_id LEFT JOIN identities i ON i.account_id = s.account_id "
    "ORDER BY s.n");
constexpr db::statement rotate_several_statement{
    rotate_several_sql.c_str(),
    db::types(pg_type::uuid_array, pg_type::uuid_array, pg_type::bytea_array, pg_type::bytea_array,
              pg_type::int4_array, pg_type::timestamptz_array, pg_type::timestamptz_array),
    session_write("rotate_sessions")};

// One row of one partition on one shard; no indexed column changes, so the update is HOT. The account's
// state is part of the condition: a banned user's token matches nothing.
constexpr auto rotate_sql =
    detail::sql(rotate_set,
                "FROM accounts WHERE sessions.account_id = $1 AND sessions.id = $2 AND "
                "sessions.refresh_token = $3 AND sessions.generation = $5 ",
                rotate_live_session, "AND accounts.id = $1 ", rotate_live_account,
                "AND (accounts.tokens_valid_after IS NULL OR accounts.tokens_valid_after <= "
                "sessions.created_at) RETURNING ",
                rotate_returning, account_list, ", ", identity_list, ", ", session_list,
                " FROM s JOIN accounts a ON a.id = $1 LEFT JOIN identities i ON i.account_id = $1");
constexpr db::statement rotate_statement{
    rotate_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid, pg_type::bytea, pg_type::bytea, pg_type::int4,
              pg_type::timestamptz, pg_type::timestamptz),
    {.rank = db::lock_rank::session,
     .conflict_key = 1,
     .summary = "rotate_session",
     .together = &rotate_several_statement}};

constexpr db::statement find_state_statement{
    "SELECT s.generation, s.repeats, s.refreshed_at, s.expires_at, s.absolute_expires_at, "
    "s.revoked_at IS NOT NULL, a.deleted_at IS NOT NULL OR coalesce(a.tokens_valid_after > s.created_at, "
    "false), "
    "coalesce(a.banned_until > $3, false), s.refresh_token "
    "FROM sessions s JOIN accounts a ON a.id = $1 WHERE s.account_id = $1 AND s.id = $2",
    db::types(pg_type::uuid, pg_type::uuid, pg_type::timestamptz),
    {.summary = "read_session_state"}};

constexpr auto repeat_sql =
    detail::sql("SELECT ", account_list, ", ", identity_list, ", ", session_list,
                " FROM sessions s JOIN accounts a ON a.id = $1 LEFT JOIN identities i ON i.account_id = $1 "
                "WHERE s.account_id = $1 AND s.id = $2 AND s.generation = $3 AND s.revoked_at IS NULL "
                "AND s.expires_at > $4");
constexpr db::statement repeat_statement{
    repeat_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid, pg_type::int4, pg_type::timestamptz),
    {.summary = "repeat_refresh"}};

// Not repeatable: it counts. Sent twice it would use up two of the client's repeats.
constexpr auto repeat_counted_sql = detail::sql(
    "WITH s AS (UPDATE sessions SET repeats = repeats + 1 WHERE account_id = $1 AND id = $2 AND generation = "
    "$3 "
    "AND repeats < $5 AND revoked_at IS NULL AND expires_at > $4 RETURNING id, account_id, created_at, "
    "refreshed_at, "
    "expires_at, absolute_expires_at, aal, amr, ip, user_agent) SELECT ",
    account_list, ", ", identity_list, ", ", session_list,
    " FROM s JOIN accounts a ON a.id = $1 LEFT JOIN identities i ON i.account_id = $1");
constexpr db::statement repeat_counted_statement{
    repeat_counted_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid, pg_type::int4, pg_type::timestamptz, pg_type::int2),
    {.repeat = db::repeat::once,
     .rank = db::lock_rank::session,
     .conflict_key = 1,
     .summary = "count_repeated_refresh"}};

constexpr auto resync_sql = detail::sql(
    "WITH s AS (UPDATE sessions SET refresh_token = $4, generation = $5, repeats = 0, "
    "refreshed_at = greatest(refreshed_at, $7), expires_at = least($6, absolute_expires_at) "
    "WHERE account_id = $1 AND id = $2 AND refresh_token = $3 AND revoked_at IS NULL AND expires_at > $7 "
    "RETURNING id, account_id, created_at, refreshed_at, expires_at, absolute_expires_at, aal, amr, ip, "
    "user_agent) "
    "SELECT ",
    account_list, ", ", identity_list, ", ", session_list,
    " FROM s JOIN accounts a ON a.id = $1 LEFT JOIN identities i ON i.account_id = $1");
constexpr db::statement resync_statement{
    resync_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid, pg_type::bytea, pg_type::bytea, pg_type::int4,
              pg_type::timestamptz, pg_type::timestamptz),
    session_write("resync_session")};

// Repeatable: the second run finds the row ended by the first, at the same moment, and says so again.
// The audit event goes with it: what ended a session must not be lost.
constexpr db::statement end_statement{
    "WITH s AS (UPDATE sessions SET revoked_at = $3, revoke_reason = $4 WHERE account_id = $1 AND id = $2 "
    "AND (revoked_at IS NULL OR revoked_at = $3) AND expires_at > $3 RETURNING account_id, id), "
    "event AS (INSERT INTO auth_events (account_id, occurred_at, id, kind, success, session_id) "
    "SELECT account_id, $3, $5, $6, $7, id FROM s ON CONFLICT DO NOTHING) SELECT count(*) FROM s",
    db::types(pg_type::uuid, pg_type::uuid, pg_type::timestamptz, pg_type::int2, pg_type::uuid, pg_type::text,
              pg_type::boolean),
    session_write("end_session")};

constexpr db::statement end_all_but_one{
    "WITH s AS (UPDATE sessions SET revoked_at = $3, revoke_reason = $4 WHERE account_id = $1 AND id <> $2 "
    "AND id >= $5 AND (revoked_at IS NULL OR revoked_at = $3) AND expires_at > $3 RETURNING id), "
    "event AS (INSERT INTO auth_events (account_id, occurred_at, id, kind, success, detail) "
    "SELECT $1, $3, $6, $7, true, jsonb_build_object('sessions', count(*)) FROM s HAVING count(*) > 0 "
    "ON CONFLICT DO NOTHING) SELECT count(*) FROM s",
    db::types(pg_type::uuid, pg_type::uuid, pg_type::timestamptz, pg_type::int2, pg_type::uuid, pg_type::uuid,
              pg_type::text),
    {.batch = db::batch::alone,
     .rank = db::lock_rank::session,
     .conflict_key = 0,
     .summary = "end_other_sessions"}};

// What an account's session list is made of: of the account, as old as the longest session at most, live.
constexpr char listed_from[] =
    " FROM sessions s WHERE s.account_id = $1 AND s.id >= $2 AND s.revoked_at IS NULL AND s.expires_at > $3 ";
constexpr char listed_order[] = "ORDER BY s.id DESC LIMIT 100";

constexpr auto list_sql =
    detail::sql("SELECT ", session_list, listed_from,
                "AND NOT EXISTS (SELECT 1 FROM accounts a WHERE a.id = $1 AND a.tokens_valid_after > "
                "s.created_at) ",
                listed_order);
constexpr db::statement list_statement{list_sql.c_str(),
                                       db::types(pg_type::uuid, pg_type::uuid, pg_type::timestamptz),
                                       {.summary = "list_sessions"}};

constexpr char bearer_list[] =
    "s.id IS NOT NULL, s.revoked_at IS NOT NULL, s.expires_at, s.absolute_expires_at, a.banned_until, "
    "a.deleted_at, a.tokens_valid_after";
constexpr std::size_t bearer_columns = 7;
// Behind it stands the parameter that names the session.
constexpr char bearer_from[] = " FROM accounts a LEFT JOIN sessions s ON s.account_id = $1 AND s.id = ";

// How far the log was when the check had its snapshot, and on which timeline: a replica that answers later in
// the same request must have got so far. A standby refuses the question, and a check on one would be none.
constexpr char log_place[] =
    ", (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8, "
    "('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int4";

constexpr auto find_bearer_sql =
    detail::sql("SELECT ", bearer_list, log_place, bearer_from, "$2 WHERE a.id = $1");
constexpr auto find_bearers_sql = db::for_several(find_bearer_sql.text, 2);
constexpr db::statement find_bearers_statement{find_bearers_sql.c_str(),
                                               db::types(pg_type::uuid_array, pg_type::uuid_array),
                                               {.summary = "check_bearers"}};
constexpr db::statement find_bearer_statement{
    find_bearer_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid),
    {.summary = "check_bearer", .together = &find_bearers_statement}};

constexpr auto find_bearer_account_sql =
    detail::sql("SELECT ", account_list, ", ", identity_list, ", ", bearer_list, bearer_from,
                "$2 LEFT JOIN identities i ON i.account_id = $1 WHERE a.id = $1");
constexpr auto find_bearer_accounts_sql = db::for_several(find_bearer_account_sql.text, 2);
constexpr db::statement find_bearer_accounts_statement{find_bearer_accounts_sql.c_str(),
                                                       db::types(pg_type::uuid_array, pg_type::uuid_array),
                                                       {.summary = "check_bearers_and_read_accounts"}};
constexpr db::statement find_bearer_account_statement{
    find_bearer_account_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid),
    {.summary = "check_bearer_and_read_account", .together = &find_bearer_accounts_statement}};

// A row for each session of the list, of NULLs when there is none, and what is known of the bearer in each.
constexpr auto find_bearer_sessions_sql =
    detail::sql("SELECT ", bearer_list, ", l.*", bearer_from, "$4 LEFT JOIN LATERAL (SELECT ", session_list,
                listed_from, "AND (a.tokens_valid_after IS NULL OR a.tokens_valid_after <= s.created_at) ",
                listed_order, ") l ON true WHERE a.id = $1");
constexpr auto find_bearers_sessions_sql = db::for_several(find_bearer_sessions_sql.text, 4);
constexpr db::statement find_bearers_sessions_statement{
    find_bearers_sessions_sql.c_str(),
    db::types(pg_type::uuid_array, pg_type::uuid_array, pg_type::timestamptz_array, pg_type::uuid_array),
    {.summary = "check_bearers_and_list_sessions"}};
constexpr db::statement find_bearer_sessions_statement{
    find_bearer_sessions_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid, pg_type::timestamptz, pg_type::uuid),
    {.summary = "check_bearer_and_list_sessions", .together = &find_bearers_sessions_statement}};

constexpr std::array<const db::statement*, 15> all_statements{&rotate_statement,
                                                              &rotate_several_statement,
                                                              &find_state_statement,
                                                              &repeat_statement,
                                                              &repeat_counted_statement,
                                                              &resync_statement,
                                                              &end_statement,
                                                              &end_all_but_one,
                                                              &list_statement,
                                                              &find_bearer_statement,
                                                              &find_bearers_statement,
                                                              &find_bearer_account_statement,
                                                              &find_bearer_accounts_statement,
                                                              &find_bearer_sessions_statement,
                                                              &find_bearers_sessions_statement};

/// What the audit log calls the end of a session.
std::string_view kind_of(revoke_reason why) {
  switch (why) {
    case revoke_reason::signed_out:
      return "sign_out";
    case revoke_reason::refresh_token_reused:
      return "refresh_token_reused";
    case revoke_reason::password_changed:
      return "sessions_ended";
    case revoke_reason::ended_by_user:
      return "session_ended";
    case revoke_reason::token_revoked:
      return "token_revoked";
  }
  return "session_ended";
}

std::optional<account_session> read_account_session(const db::rows& from) {
  if (from.empty()) return std::nullopt;
  account_session found{read_account(from), read_session(from, 0, session_at)};
  return found;
}

bearer_row read_bearer(const db::rows& from, std::size_t first) {
  bearer_row found;
  found.has_session = from.boolean(0, first);
  if (found.has_session) {
    found.is_session_revoked = from.boolean(0, first + 1);
    found.session_expires_at = from.time(0, first + 2);
    found.session_absolute_expires_at = from.time(0, first + 3);
  }
  found.banned_until = read_time(from, 0, first + 4);
  found.deleted_at = read_time(from, 0, first + 5);
  found.tokens_valid_after = read_time(from, 0, first + 6);
  return found;
}

db::params key_params(const session_key& key) {
  db::params values;
  values.add(key.account).add(key.session);
  return values;
}

db::params list_params(const uuid& account, timestamp not_before, timestamp now) {
  db::params values;
  values.add(account)
      .add(detail::uuid_floor(std::max<timestamp>(not_before, now - longest_session)))
      .add(now);
  return values;
}

std::vector<session> read_sessions(const db::rows& from, std::size_t first) {
  std::vector<session> found;
  found.reserve(from.size());
  for (std::size_t row = 0; row < from.size(); ++row) {
    if (!from.is_null(row, first)) found.push_back(read_session(from, row, first));
  }
  return found;
}

// Generations are non-negative int4 in the table; the token's field is 32 bits wide.
std::int32_t as_int4(std::uint32_t generation) {
  return static_cast<std::int32_t>(generation & 0x7fffffffU);
}

}  // namespace

boost::asio::awaitable<result<std::optional<account_session>>> session_repository::rotate(
    session_key key, crypto::refresh_token_hash presented, std::uint32_t generation,
    crypto::refresh_token_hash successor, timestamp idle_end, timestamp now, async::deadline deadline) {
  db::params values = key_params(key);
  values.add(std::span<const std::byte>{presented}).add(std::span<const std::byte>{successor});
  values.add(as_int4(generation)).add(idle_end).add(now);
  const db::call_options options{.deadline = deadline, .account = key.account};
  auto rows = co_await database_.execute(rotate_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_account_session(*rows);
}

boost::asio::awaitable<result<std::optional<session_state>>> session_repository::find_state(
    session_key key, timestamp now, async::deadline deadline) {
  db::params values = key_params(key);
  values.add(now);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(find_state_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<session_state> found;
  if (rows->empty()) co_return found;
  found.emplace();
  found->facts.generation = static_cast<std::uint32_t>(rows->int4(0, 0));
  found->facts.repeats = rows->int2(0, 1);
  found->facts.refreshed_at = rows->time(0, 2);
  found->facts.expires_at = rows->time(0, 3);
  found->facts.absolute_expires_at = rows->time(0, 4);
  found->facts.is_revoked = rows->boolean(0, 5);
  found->facts.is_account_gone = rows->boolean(0, 6);
  found->facts.is_account_banned = rows->boolean(0, 7);
  const auto hash = rows->bytes(0, 8);
  if (hash.size() == found->current.size()) std::copy(hash.begin(), hash.end(), found->current.begin());
  co_return found;
}

boost::asio::awaitable<result<std::optional<account_session>>> session_repository::repeat(
    session_key key, std::uint32_t generation, bool is_counted, timestamp now, async::deadline deadline) {
  db::params values = key_params(key);
  values.add(as_int4(generation)).add(now);
  if (is_counted) values.add(max_counted_repeats);
  const db::statement& what = is_counted ? repeat_counted_statement : repeat_statement;
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(what, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_account_session(*rows);
}

boost::asio::awaitable<result<std::optional<account_session>>> session_repository::resync(
    session_key key, crypto::refresh_token_hash stored, std::uint32_t generation,
    crypto::refresh_token_hash successor, timestamp idle_end, timestamp now, async::deadline deadline) {
  db::params values = key_params(key);
  values.add(std::span<const std::byte>{stored}).add(std::span<const std::byte>{successor});
  values.add(as_int4(generation)).add(idle_end).add(now);
  const db::call_options options{.deadline = deadline, .account = key.account};
  auto rows = co_await database_.execute(resync_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_account_session(*rows);
}

boost::asio::awaitable<result<bool>> session_repository::end(session_key key, revoke_reason why,
                                                             timestamp now, async::deadline deadline) {
  const uuid event = crypto::uuid_v7(now);
  const auto make = [&] {
    db::params values = key_params(key);
    values.add(now).add(static_cast<std::int16_t>(why)).add(event).add_text(kind_of(why));
    values.add(why != revoke_reason::refresh_token_reused);
    return values;
  };
  const db::call_options options{.deadline = deadline, .account = key.account};
  auto rows = co_await detail::execute_with_partitions(database_, end_statement, make, options);
  if (rows.has_error()) co_return from_database(rows.error());
  const bool has_ended = rows->int8(0, 0) > 0;
  co_return has_ended;
}

const db::statement& session_repository::end_others_statement() {
  return end_all_but_one;
}

db::params session_repository::end_others_params(const session_key& keep, revoke_reason why, timestamp now) {
  db::params values = key_params(keep);
  values.add(now).add(static_cast<std::int16_t>(why)).add(detail::uuid_floor(now - longest_session));
  values.add(crypto::uuid_v7(now)).add_text(kind_of(why));
  return values;
}

boost::asio::awaitable<result<std::int64_t>> session_repository::end_others(session_key keep,
                                                                            revoke_reason why, timestamp now,
                                                                            async::deadline deadline) {
  const db::call_options options{.deadline = deadline, .account = keep.account};
  auto rows = co_await database_.execute(end_others_statement(), end_others_params(keep, why, now), options);
  if (rows.has_error()) co_return from_database(rows.error());
  const std::int64_t count = rows->int8(0, 0);
  co_return count;
}

boost::asio::awaitable<result<std::vector<session>>> session_repository::list(
    uuid account, db::wal_position seen, timestamp not_before, timestamp now, async::deadline deadline) {
  db::params values = list_params(account, not_before, now);
  const db::call_options options{
      .deadline = deadline, .read = db::read_from::replica, .account = account, .seen = seen};
  auto rows = co_await database_.execute(list_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_sessions(*rows, 0);
}

boost::asio::awaitable<result<std::optional<bearer_row>>> session_repository::find_bearer(
    session_key key, async::deadline deadline) {
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(find_bearer_statement, key_params(key), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<bearer_row> found;
  if (!rows->empty()) {
    found = read_bearer(*rows, 0);
    found->seen.lsn = static_cast<std::uint64_t>(rows->int8(0, bearer_columns));
    found->seen.timeline = static_cast<std::uint32_t>(rows->int4(0, bearer_columns + 1));
  }
  co_return found;
}

boost::asio::awaitable<result<std::optional<bearer_account>>> session_repository::find_bearer_account(
    session_key key, async::deadline deadline) {
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(find_bearer_account_statement, key_params(key), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<bearer_account> found;
  if (!rows->empty()) {
    found.emplace();
    found->facts = read_bearer(*rows, session_at);
    found->account = read_account(*rows);
  }
  co_return found;
}

boost::asio::awaitable<result<std::optional<bearer_sessions>>> session_repository::find_bearer_sessions(
    session_key key, timestamp not_before, timestamp now, async::deadline deadline) {
  db::params values = list_params(key.account, not_before, now);
  values.add(key.session);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(find_bearer_sessions_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<bearer_sessions> found;
  if (!rows->empty()) {
    found.emplace();
    found->facts = read_bearer(*rows, 0);
    found->sessions = read_sessions(*rows, bearer_columns);
    // The join promises no order.
    std::ranges::sort(found->sessions, std::ranges::greater{}, &session::id);
  }
  co_return found;
}

std::span<const db::statement* const> session_repository::statements() {
  return all_statements;
}

}  // namespace pam::auth
