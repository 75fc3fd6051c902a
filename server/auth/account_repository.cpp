#include "server/auth/account_repository.hpp"

#include <array>

#include "server/auth/detail/sql_text.hpp"
#include "server/auth/detail/with_partitions.hpp"
#include "server/auth/row_readers.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

using db::pg_type;
using detail::account_list;
using detail::identity_list;
using detail::session_list;

constexpr std::size_t session_at = detail::account_columns + detail::identity_columns;

// One statement, hence atomic on one PostgreSQL and on Citus (two-phase commit). `owner` is not empty
// when this account holds the claim: just now, or since an earlier transmission of the same statement.
//
// It answers with the rows as they are stored: a second statement that reads them could fail, and the client
// would be told that nothing was done. For the same reason a second run must return them too: DO UPDATE.
constexpr auto create_sql = detail::sql(
    "WITH claim AS (INSERT INTO claims (kind, value, account_id, claimed_at) VALUES ('email', $2, $1, $9) "
    "ON CONFLICT (kind, value) DO NOTHING RETURNING account_id), "
    "owner AS (SELECT account_id FROM claim UNION ALL "
    "SELECT account_id FROM claims WHERE kind = 'email' AND value = $2 AND account_id = $1), "
    "account AS (INSERT INTO accounts (id, email, hashed_password, metadata, app_metadata, role, aud, "
    "email_confirmed_at, last_sign_in_at, created_at, updated_at) "
    "SELECT $1, $2, $3, $4, $5, $6, $7, $9, $9, $9, $9 FROM owner ON CONFLICT (id) DO UPDATE "
    "SET updated_at = accounts.updated_at RETURNING *), "
    "identity AS (INSERT INTO identities (account_id, id, provider, provider_id, identity_data, email, "
    "last_sign_in_at, created_at, updated_at) "
    "SELECT $1, $10, 'email', $1::text, $8, $2, $9, $9, $9 FROM owner ON CONFLICT (account_id, id) DO UPDATE "
    "SET updated_at = identities.updated_at RETURNING *), "
    "session AS (INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, "
    "created_at, "
    "refreshed_at, amr, ip, user_agent) "
    "SELECT $11, $1, $12, $13, $14, $9, $9, $15, $16, $17 FROM owner ON CONFLICT DO NOTHING), "
    "event AS (INSERT INTO auth_events (account_id, occurred_at, id, kind, success, session_id, ip, "
    "request_id) "
    "SELECT $1, $9, $18, 'sign_up', true, $11, $16, $19 FROM owner ON CONFLICT DO NOTHING) SELECT ",
    account_list, ", ", identity_list, " FROM account a LEFT JOIN identity i ON true");
constexpr db::statement create_statement{
    create_sql.c_str(),
    db::types(pg_type::uuid, pg_type::text, pg_type::text, pg_type::jsonb, pg_type::jsonb, pg_type::text,
              pg_type::text, pg_type::jsonb, pg_type::timestamptz, pg_type::uuid, pg_type::uuid,
              pg_type::bytea, pg_type::timestamptz, pg_type::timestamptz, pg_type::jsonb, pg_type::inet,
              pg_type::text, pg_type::uuid, pg_type::text),
    {.rank = db::lock_rank::claim, .conflict_key = 1, .summary = "sign_up"}};

constexpr db::statement find_claim_statement{
    "SELECT account_id FROM claims WHERE kind = 'email' AND value = $1",
    db::types(pg_type::text),
    {.summary = "find_claim"}};

constexpr db::statement find_for_sign_in_statement{
    "SELECT hashed_password::text, email_confirmed_at IS NOT NULL OR phone_confirmed_at IS NOT NULL, "
    "banned_until, "
    "deleted_at, failed_count, failed_since FROM accounts WHERE id = $1",
    db::types(pg_type::uuid),
    {.summary = "read_for_sign_in"}};

constexpr auto record_sign_in_sql = detail::sql(
    "WITH account AS (UPDATE accounts SET last_sign_in_at = greatest(last_sign_in_at, $4), failed_count = 0, "
    "failed_since = NULL, hashed_password = coalesce($3, hashed_password), updated_at = greatest(updated_at, "
    "$4) "
    "WHERE id = $1 AND hashed_password IN ($2, $3) AND deleted_at IS NULL "
    "AND (banned_until IS NULL OR banned_until <= $4) RETURNING *), "
    "s AS (INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, created_at, "
    "refreshed_at, amr, ip, user_agent) "
    "SELECT $5, id, $6, $7, $8, $4, $4, $9, $10, $11 FROM account ON CONFLICT (account_id, id) DO UPDATE "
    "SET refreshed_at = excluded.refreshed_at RETURNING *), "
    "touched AS (UPDATE identities SET last_sign_in_at = greatest(identities.last_sign_in_at, $4) "
    "FROM account WHERE account_id = $1 AND provider = 'email' RETURNING identities.*), "
    "event AS (INSERT INTO auth_events (account_id, occurred_at, id, kind, success, session_id, ip, "
    "request_id) "
    "SELECT $1, $4, $12, 'sign_in', true, $5, $10, $13 FROM account ON CONFLICT DO NOTHING), "
    "shown AS (SELECT * FROM touched UNION ALL "
    "SELECT * FROM identities WHERE account_id = $1 AND provider <> 'email') SELECT ",
    account_list, ", ", identity_list, ", ", session_list,
    " FROM account a JOIN s ON true LEFT JOIN shown i ON true");
constexpr db::statement record_sign_in_statement{
    record_sign_in_sql.c_str(),
    db::types(pg_type::uuid, pg_type::text, pg_type::text, pg_type::timestamptz, pg_type::uuid,
              pg_type::bytea, pg_type::timestamptz, pg_type::timestamptz, pg_type::jsonb, pg_type::inet,
              pg_type::text, pg_type::uuid, pg_type::text),
    {.rank = db::lock_rank::account, .conflict_key = 0, .summary = "sign_in"}};

// An unknown account costs the same commit: without a row to update, an empty logical message makes the
// transaction write WAL and wait for its flush. Counting is not repeatable.
constexpr db::statement record_failure_statement{
    "WITH counted AS (UPDATE accounts SET "
    "failed_count = CASE WHEN failed_since > $3 THEN failed_count + 1 ELSE 1 END, "
    "failed_since = CASE WHEN failed_since > $3 THEN failed_since ELSE $2 END WHERE id = $1 RETURNING 1) "
    "SELECT pg_logical_emit_message(true, 'pam', '')::text WHERE NOT EXISTS (SELECT 1 FROM counted)",
    db::types(pg_type::uuid, pg_type::timestamptz, pg_type::timestamptz),
    {.repeat = db::repeat::once,
     .rank = db::lock_rank::account,
     .conflict_key = 0,
     .summary = "count_failed_sign_in"}};

constexpr auto find_sql =
    detail::sql("SELECT ", account_list, ", ", identity_list,
                " FROM accounts a LEFT JOIN identities i ON i.account_id = $1 WHERE a.id = $1");
constexpr db::statement find_statement{
    find_sql.c_str(), db::types(pg_type::uuid), {.summary = "read_account"}};

constexpr db::statement find_password_statement{
    "SELECT hashed_password::text FROM accounts WHERE id = $1 AND deleted_at IS NULL",
    db::types(pg_type::uuid),
    {.summary = "read_password_hash"}};

// Only for a bearer whose session still lives: hashing a new password takes long enough for it to end.
// Repeatable: the second run finds the new hash in place of the expected one and sets it again.
constexpr auto update_sql = detail::sql(
    "WITH a AS (UPDATE accounts SET metadata = (metadata || coalesce($3, '{}')) - $4, "
    "hashed_password = coalesce($5, hashed_password), updated_at = greatest(updated_at, $7) "
    "WHERE id = $1 AND deleted_at IS NULL AND (banned_until IS NULL OR banned_until <= $7) "
    "AND EXISTS (SELECT 1 FROM sessions s WHERE s.account_id = $1 AND s.id = $2 AND s.revoked_at IS NULL "
    "AND s.expires_at > $7 AND (tokens_valid_after IS NULL OR tokens_valid_after <= s.created_at)) "
    "AND ($5::text IS NULL OR hashed_password IS NULL AND $6::text IS NULL OR hashed_password IN ($5, $6)) "
    "AND ($3 IS NULL AND cardinality($4) = 0 "
    "OR octet_length(((metadata || coalesce($3, '{}')) - $4)::text) <= 4096) RETURNING *), "
    "event AS (INSERT INTO auth_events (account_id, occurred_at, id, kind, success, session_id) "
    "SELECT id, $7, $8, CASE WHEN $5::text IS NULL THEN 'account_changed' ELSE 'password_changed' END, true, "
    "$2 "
    "FROM a ON CONFLICT DO NOTHING) SELECT ",
    account_list, ", ", identity_list, " FROM a LEFT JOIN identities i ON i.account_id = $1");
static_assert(max_stored_metadata_bytes == 4096, "update_sql names the limit");
constexpr db::statement update_statement{
    update_sql.c_str(),
    db::types(pg_type::uuid, pg_type::uuid, pg_type::jsonb, pg_type::text_array, pg_type::text, pg_type::text,
              pg_type::timestamptz, pg_type::uuid),
    {.rank = db::lock_rank::account, .conflict_key = 0, .summary = "change_account"}};

constexpr std::array<const db::statement*, 8> all_statements{
    &create_statement,         &find_claim_statement, &find_for_sign_in_statement, &record_sign_in_statement,
    &record_failure_statement, &find_statement,       &find_password_statement,    &update_statement};

void add_or_null(db::params& values, const std::string& text) {
  if (text.empty()) {
    values.add_null();
  } else {
    values.add_text(text);
  }
}

void add_place(db::params& values, const client_place& place) {
  add_or_null(values, place.ip);
  values.add_text(place.user_agent);
}

/// Array literal of text elements (PostgreSQL documentation, 8.15.6): quoted, `"` and `\` escaped.
std::string array_literal(const std::vector<std::string>& elements) {
  std::string literal = "{";
  for (const std::string& element : elements) {
    if (literal.size() > 1) literal += ',';
    literal += '"';
    for (char c : element) {
      if (c == '"' || c == '\\') literal += '\\';
      literal += c;
    }
    literal += '"';
  }
  return literal + '}';
}

}  // namespace

boost::asio::awaitable<result<std::optional<account>>> account_repository::create(new_account what,
                                                                                  async::deadline deadline) {
  const uuid event = crypto::uuid_v7(what.now);
  const auto make = [&] {
    db::params values;
    values.add(what.id).add_text(what.email).add_text(what.hashed_password).add_text(what.metadata);
    values.add_text(what.app_metadata).add_text(what.role).add_text(what.aud).add_text(what.identity_data);
    values.add(what.now).add(what.identity_id).add(what.session.id);
    values.add(std::span<const std::byte>{what.session.refresh_token});
    values.add(what.session.expires_at).add(what.session.absolute_expires_at).add_text(what.session.amr);
    add_place(values, what.session.place);
    values.add(event);
    add_or_null(values, what.session.place.request_id);
    return values;
  };
  const db::call_options options{.deadline = deadline, .account = what.id};
  auto rows = co_await detail::execute_with_partitions(database_, create_statement, make, options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<account> created;
  if (!rows->empty()) created = read_account(*rows);
  co_return created;
}

boost::asio::awaitable<result<std::optional<sign_in_row>>> account_repository::find_for_sign_in(
    std::string email, async::deadline deadline) {
  const db::call_options options{deadline};
  db::params claim_values;
  claim_values.add_text(email);
  auto claim = co_await database_.execute(find_claim_statement, std::move(claim_values), options);
  if (claim.has_error()) co_return from_database(claim.error());

  // Nobody has this id: the second statement runs for an unknown address as well.
  sign_in_row found;
  found.id = claim->empty() ? crypto::uuid_v4() : claim->uuid(0, 0);
  db::params account_values;
  account_values.add(found.id);
  auto rows = co_await database_.execute(find_for_sign_in_statement, std::move(account_values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<sign_in_row> answer;
  if (rows->empty()) co_return answer;
  if (!rows->is_null(0, 0)) found.hashed_password = rows->text(0, 0);
  found.is_confirmed = rows->boolean(0, 1);
  found.banned_until = read_time(*rows, 0, 2);
  found.deleted_at = read_time(*rows, 0, 3);
  found.attempts = {rows->int4(0, 4), read_time(*rows, 0, 5)};
  answer = std::move(found);
  co_return answer;
}

boost::asio::awaitable<result<std::optional<account_session>>> account_repository::record_sign_in(
    uuid account, std::string expected_hash, std::optional<std::string> new_hash, new_session what,
    timestamp now, async::deadline deadline) {
  const uuid event = crypto::uuid_v7(now);
  const auto make = [&] {
    db::params values;
    values.add(account).add_text(expected_hash).add_text(new_hash).add(now).add(what.id);
    values.add(std::span<const std::byte>{what.refresh_token})
        .add(what.expires_at)
        .add(what.absolute_expires_at);
    values.add_text(what.amr);
    add_place(values, what.place);
    values.add(event);
    add_or_null(values, what.place.request_id);
    return values;
  };
  const db::call_options options{.deadline = deadline, .account = account};
  auto rows = co_await detail::execute_with_partitions(database_, record_sign_in_statement, make, options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<account_session> found;
  if (!rows->empty()) {
    found.emplace();
    found->account = read_account(*rows);
    found->session = read_session(*rows, 0, session_at);
  }
  co_return found;
}

boost::asio::awaitable<result<void>> account_repository::record_failure(uuid account, timestamp now,
                                                                        async::deadline deadline) {
  db::params values;
  values.add(account).add(now).add(timestamp{now - attempts_memory});
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(record_failure_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return result<void>{};
}

boost::asio::awaitable<result<std::optional<account>>> account_repository::find(uuid id,
                                                                                async::deadline deadline) {
  db::params values;
  values.add(id);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(find_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<account> found;
  if (!rows->empty()) found = read_account(*rows);
  co_return found;
}

boost::asio::awaitable<result<std::optional<std::string>>> account_repository::find_password(
    uuid id, async::deadline deadline) {
  db::params values;
  values.add(id);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(find_password_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<std::string> found;
  if (!rows->empty()) found = rows->is_null(0, 0) ? std::string{} : std::string{rows->text(0, 0)};
  co_return found;
}

db::params account_repository::update_params(const session_key& who, const account_change& what,
                                             const std::string& expected_hash, timestamp now) {
  db::params values;
  values.add(who.account).add(who.session).add_text(what.metadata_set);
  values.add_text(array_literal(what.metadata_removed)).add_text(what.hashed_password);
  add_or_null(values, expected_hash);
  values.add(now).add(crypto::uuid_v7(now));
  return values;
}

boost::asio::awaitable<result<std::optional<account>>> account_repository::update(session_key who,
                                                                                  account_change what,
                                                                                  timestamp now,
                                                                                  async::deadline deadline) {
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(update_statement, update_params(who, what, {}, now), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<account> found;
  if (!rows->empty()) found = read_account(*rows);
  co_return found;
}

boost::asio::awaitable<result<std::optional<account>>> account_repository::change_password(
    session_key keep, account_change what, std::string expected_hash, timestamp now,
    async::deadline deadline) {
  const db::tx_options options{.deadline = deadline, .account = keep.account};
  auto begun = co_await database_.begin(options);
  if (begun.has_error()) co_return from_database(begun.error());
  db::transaction& change = *begun;
  auto rows = co_await change.execute(update_statement, update_params(keep, what, expected_hash, now));
  if (rows.has_error()) co_return from_database(rows.error());
  std::optional<account> found;
  if (rows->empty()) {
    co_await change.rollback();
    co_return found;
  }
  found = read_account(*rows);
  // A statement of its own, hence a new snapshot: it sees the session of a sign-in with the old password
  // that held the account's row when the UPDATE above came.
  auto ended = co_await change.execute(
      session_repository::end_others_statement(),
      session_repository::end_others_params(keep, revoke_reason::password_changed, now));
  if (ended.has_error()) co_return from_database(ended.error());
  auto committed = co_await change.commit();
  if (committed.has_error()) co_return from_database(committed.error());
  co_return found;
}

std::span<const db::statement* const> account_repository::statements() {
  return all_statements;
}

}  // namespace pam::auth
