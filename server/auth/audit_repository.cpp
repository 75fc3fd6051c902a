#include "server/auth/audit_repository.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "server/auth/detail/add_or_null.hpp"
#include "server/auth/detail/sql_text.hpp"
#include "server/auth/detail/with_partitions.hpp"
#include "server/auth/row_readers.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

using db::pg_type;
using detail::add_or_null;

constexpr db::statement record_statement{
    "INSERT INTO auth_events (account_id, occurred_at, id, kind, success, session_id, ip, request_id, actor, "
    "detail) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (account_id, occurred_at, id) DO NOTHING",
    db::types(pg_type::uuid, pg_type::timestamptz, pg_type::uuid, pg_type::text, pg_type::boolean,
              pg_type::uuid, pg_type::inet, pg_type::text, pg_type::text, pg_type::jsonb),
    {.rank = db::lock_rank::other, .conflict_key = 2, .summary = "record_event"}};

constexpr db::statement record_failure_statement{
    "INSERT INTO auth_events (account_id, occurred_at, id, kind, success, ip, request_id, detail) "
    "SELECT $1, $2, $3, $4, false, $5, $6, $7 WHERE (SELECT count(*) FROM (SELECT 1 FROM auth_events "
    "WHERE account_id = $1 AND NOT success AND occurred_at > $8 AND occurred_at <= $2 LIMIT 20) AS recent) < "
    "20 "
    "ON CONFLICT (account_id, occurred_at, id) DO NOTHING",
    db::types(pg_type::uuid, pg_type::timestamptz, pg_type::uuid, pg_type::text, pg_type::inet, pg_type::text,
              pg_type::jsonb, pg_type::timestamptz),
    {.rank = db::lock_rank::other, .conflict_key = 2, .summary = "record_failure_event"}};
static_assert(failures_a_minute == 20, "record_failure_statement names the limit");

constexpr char event_list[] =
    "SELECT e.account_id, e.occurred_at, e.id, e.kind::text, e.success, e.session_id, host(e.ip), "
    "e.country::text, e.request_id::text, e.actor::text, e.detail::text FROM auth_events e WHERE ";
constexpr char filter_text[] =
    "e.occurred_at >= $1 AND e.occurred_at < $2 "
    "AND (e.occurred_at, e.id) < ($3, $4) AND ($5::text IS NULL OR e.kind = $5) "
    "AND ($6::boolean IS NULL OR e.success = $6) ";
constexpr char newest_first[] = " ORDER BY e.occurred_at DESC, e.id DESC LIMIT $7";

// The primary key has the order: read backwards, partition after partition.
constexpr auto of_account_sql = detail::sql(event_list, "e.account_id = $8 AND ", filter_text, newest_first);
constexpr db::statement of_account_statement{
    of_account_sql.c_str(),
    db::types(pg_type::timestamptz, pg_type::timestamptz, pg_type::timestamptz, pg_type::uuid, pg_type::text,
              pg_type::boolean, pg_type::int4, pg_type::uuid),
    {.summary = "list_events_of_account"}};

constexpr auto of_all_sql = detail::sql(event_list, filter_text, newest_first);
constexpr db::statement of_all_statement{
    of_all_sql.c_str(),
    db::types(pg_type::timestamptz, pg_type::timestamptz, pg_type::timestamptz, pg_type::uuid, pg_type::text,
              pg_type::boolean, pg_type::int4),
    {.summary = "list_events"}};

constexpr auto within_sql =
    detail::sql(event_list, filter_text, "AND e.geo IS NOT NULL AND e.geo <@ $8::text::box", newest_first);
constexpr db::statement within_statement{
    within_sql.c_str(),
    db::types(pg_type::timestamptz, pg_type::timestamptz, pg_type::timestamptz, pg_type::uuid, pg_type::text,
              pg_type::boolean, pg_type::int4, pg_type::text),
    {.summary = "list_events_within"}};

constexpr auto nearest_sql = detail::sql(event_list,
                                         "e.occurred_at >= $1 AND e.occurred_at < $2 AND e.geo IS NOT NULL "
                                         "ORDER BY e.geo <-> $3::text::point LIMIT $4");
constexpr db::statement nearest_statement{
    nearest_sql.c_str(),
    db::types(pg_type::timestamptz, pg_type::timestamptz, pg_type::text, pg_type::int4),
    {.summary = "list_nearest_events"}};

constexpr std::array<const db::statement*, 6> all_statements{&record_statement,     &record_failure_statement,
                                                             &of_account_statement, &of_all_statement,
                                                             &within_statement,     &nearest_statement};

db::params& add_filter(db::params& values, const audit_filter& which) {
  // Without a position the page begins at `before`, beyond every id.
  uuid last{};
  std::fill(last.begin(), last.end(), std::uint8_t{0xff});
  const audit_position from = which.position.value_or(audit_position{which.before, last});
  values.add(which.after).add(which.before).add(from.occurred_at).add(from.id);
  return values.add_text(which.kind).add(which.success).add(which.limit);
}

std::optional<std::string> optional_text(const db::rows& from, std::size_t row, std::size_t column) {
  if (from.is_null(row, column)) return std::nullopt;
  return std::string{from.text(row, column)};
}

std::vector<audit_row> read_events(const db::rows& from) {
  std::vector<audit_row> all;
  all.reserve(from.size());
  for (std::size_t row = 0; row < from.size(); ++row) {
    audit_row each;
    each.account = from.uuid(row, 0);
    each.occurred_at = from.time(row, 1);
    each.id = from.uuid(row, 2);
    each.kind = from.text(row, 3);
    each.success = from.boolean(row, 4);
    if (!from.is_null(row, 5)) each.session = from.uuid(row, 5);
    each.ip = optional_text(from, row, 6);
    each.country = optional_text(from, row, 7);
    each.request_id = optional_text(from, row, 8);
    each.actor = optional_text(from, row, 9);
    each.detail = from.text(row, 10);
    all.push_back(std::move(each));
  }
  return all;
}

std::string degrees(double longitude, double latitude) {
  std::array<char, 64> text{};
  const int length = std::snprintf(text.data(), text.size(), "(%.6f,%.6f)", longitude, latitude);
  return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace

boost::asio::awaitable<result<void>> audit_repository::record(audit_event what, async::deadline deadline) {
  const uuid id = what.id.is_nil() ? crypto::uuid_v7(what.occurred_at) : what.id;
  const auto make = [&] {
    db::params values;
    values.add(what.account).add(what.occurred_at).add(id).add_text(what.kind).add(what.success);
    values.add(what.session);
    add_or_null(values, what.place.ip);
    add_or_null(values, what.place.request_id);
    add_or_null(values, what.actor);
    values.add_text(what.detail);
    return values;
  };
  const db::call_options options{deadline};
  auto rows = co_await detail::execute_with_partitions(database_, record_statement, make, options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return result<void>{};
}

boost::asio::awaitable<result<bool>> audit_repository::record_failure(audit_event what,
                                                                      async::deadline deadline) {
  const uuid id = crypto::uuid_v7(what.occurred_at);
  const auto make = [&] {
    db::params values;
    values.add(what.account).add(what.occurred_at).add(id).add_text(what.kind);
    add_or_null(values, what.place.ip);
    add_or_null(values, what.place.request_id);
    values.add_text(what.detail).add(what.occurred_at - std::chrono::minutes{1});
    return values;
  };
  const db::call_options options{deadline};
  auto rows = co_await detail::execute_with_partitions(database_, record_failure_statement, make, options);
  if (rows.has_error()) co_return from_database(rows.error());
  const bool is_written = rows->affected() > 0;
  co_return is_written;
}

boost::asio::awaitable<result<std::vector<audit_row>>> audit_repository::of_account(
    uuid account, audit_filter which, async::deadline deadline) {
  db::params values;
  add_filter(values, which).add(account);
  const db::call_options options{.deadline = deadline, .read = db::read_from::replica};
  auto rows = co_await database_.execute(of_account_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_events(*rows);
}

boost::asio::awaitable<result<std::vector<audit_row>>> audit_repository::of_all(audit_filter which,
                                                                                async::deadline deadline) {
  constexpr int growth = 8;
  std::chrono::microseconds window = std::chrono::minutes{15};
  std::vector<audit_row> page;
  const std::int32_t wanted = which.limit;
  timestamp upper = which.before;
  if (which.position) upper = std::min(upper, which.position->occurred_at + std::chrono::microseconds{1});
  const db::call_options options{.deadline = deadline, .read = db::read_from::replica};
  while (upper > which.after && page.size() < static_cast<std::size_t>(wanted)) {
    audit_filter part = which;
    part.before = upper;
    part.after = std::max(which.after, upper - window);
    part.limit = wanted - static_cast<std::int32_t>(page.size());
    db::params values;
    add_filter(values, part);
    auto rows = co_await database_.execute(of_all_statement, std::move(values), options);
    if (rows.has_error()) co_return from_database(rows.error());
    std::vector<audit_row> found = read_events(*rows);
    std::move(found.begin(), found.end(), std::back_inserter(page));
    upper = part.after;
    window *= growth;
  }
  co_return page;
}

boost::asio::awaitable<result<std::vector<audit_row>>> audit_repository::within(geo_box where,
                                                                                audit_filter which,
                                                                                async::deadline deadline) {
  db::params values;
  add_filter(values, which)
      .add_text(degrees(where.east, where.north) + "," + degrees(where.west, where.south));
  const db::call_options options{.deadline = deadline, .read = db::read_from::replica};
  auto rows = co_await database_.execute(within_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_events(*rows);
}

boost::asio::awaitable<result<std::vector<audit_row>>> audit_repository::nearest(double longitude,
                                                                                 double latitude,
                                                                                 audit_filter which,
                                                                                 async::deadline deadline) {
  db::params values;
  values.add(which.after).add(which.before).add_text(degrees(longitude, latitude)).add(which.limit);
  const db::call_options options{.deadline = deadline, .read = db::read_from::replica};
  auto rows = co_await database_.execute(nearest_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return read_events(*rows);
}

std::span<const db::statement* const> audit_repository::statements() {
  return all_statements;
}

}  // namespace pam::auth
