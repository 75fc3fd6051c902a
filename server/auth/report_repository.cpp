#include "server/auth/report_repository.hpp"

#include <array>
#include <utility>

namespace pam::auth {
namespace {

using db::pg_type;

// The key of a row as text: what the unique index of the report orders by. Pages go by it, downwards.
constexpr db::statement sign_ups_statement{
    "SELECT r.day::text, to_jsonb(r)::text FROM report_daily_sign_ups r "
    "WHERE $1::text = '' OR r.day < nullif($1, '')::date ORDER BY r.day DESC LIMIT $2",
    db::types(pg_type::text, pg_type::int4),
    {.summary = "report_sign_ups"}};
constexpr db::statement events_statement{
    "SELECT concat_ws('|', r.day, r.kind, r.success, r.country, r.client_id), to_jsonb(r)::text "
    "FROM report_daily_events r WHERE $1::text = '' OR (r.day, r.kind, r.success, r.country, r.client_id) < "
    "(nullif(split_part($1, '|', 1), '')::date, split_part($1, '|', 2), nullif(split_part($1, '|', 3), "
    "'')::boolean, "
    "split_part($1, '|', 4), nullif(split_part($1, '|', 5), '')::uuid) "
    "ORDER BY r.day DESC, r.kind DESC, r.success DESC, r.country DESC, r.client_id DESC LIMIT $2",
    db::types(pg_type::text, pg_type::int4),
    {.summary = "report_events"}};
constexpr db::statement sessions_statement{
    "SELECT concat_ws('|', r.day, r.client_id), to_jsonb(r)::text FROM report_daily_sessions r "
    "WHERE $1::text = '' OR (r.day, r.client_id) < (nullif(split_part($1, '|', 1), '')::date, "
    "nullif(split_part($1, '|', 2), '')::uuid) ORDER BY r.day DESC, r.client_id DESC LIMIT $2",
    db::types(pg_type::text, pg_type::int4),
    {.summary = "report_sessions"}};
constexpr db::statement active_statement{
    "SELECT r.days::text, to_jsonb(r)::text FROM report_active r "
    "WHERE $1::text = '' OR r.days < nullif($1, '')::int4 ORDER BY r.days DESC LIMIT $2",
    db::types(pg_type::text, pg_type::int4),
    {.summary = "report_active"}};

// The hits first, by the GIN index; then their order. Walking the primary key in order would read every
// account.
constexpr db::statement by_metadata_statement{
    "WITH hits AS MATERIALIZED (SELECT a.id FROM accounts a WHERE a.metadata @> $1) "
    "SELECT hits.id FROM hits WHERE hits.id > $2 ORDER BY hits.id LIMIT $3",
    db::types(pg_type::jsonb, pg_type::uuid, pg_type::int4),
    {.summary = "find_by_metadata"}};

constexpr std::array<const db::statement*, 5> all_statements{
    &sign_ups_statement, &events_statement, &sessions_statement, &active_statement, &by_metadata_statement};

const db::statement& statement_of(report which) {
  switch (which) {
    case report::daily_sign_ups:
      return sign_ups_statement;
    case report::daily_events:
      return events_statement;
    case report::daily_sessions:
      return sessions_statement;
    case report::active:
      break;
  }
  return active_statement;
}

}  // namespace

boost::asio::awaitable<result<report_page>> report_repository::page(report which, std::string after,
                                                                    std::int32_t limit,
                                                                    async::deadline deadline) {
  db::params values;
  values.add_text(after).add(limit);
  const db::call_options options{.deadline = deadline, .read = db::read_from::replica};
  auto rows = co_await database_.execute(statement_of(which), std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  report_page page;
  for (std::size_t row = 0; row < rows->size(); ++row) page.rows.emplace_back(rows->text(row, 1));
  if (rows->size() == static_cast<std::size_t>(limit))
    page.next = std::string{rows->text(rows->size() - 1, 0)};
  co_return page;
}

boost::asio::awaitable<result<std::vector<uuid>>> report_repository::find_by_metadata(
    json_text part, uuid after, std::int32_t limit, async::deadline deadline) {
  db::params values;
  values.add_text(part).add(after).add(limit);
  const db::call_options options{.deadline = deadline, .read = db::read_from::replica};
  auto rows = co_await database_.execute(by_metadata_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::vector<uuid> found;
  for (std::size_t row = 0; row < rows->size(); ++row) found.push_back(rows->uuid(row, 0));
  co_return found;
}

std::span<const db::statement* const> report_repository::statements() {
  return all_statements;
}

std::optional<report> parse_report(std::string_view name) {
  if (name == "daily_sign_ups") return report::daily_sign_ups;
  if (name == "daily_events") return report::daily_events;
  if (name == "daily_sessions") return report::daily_sessions;
  if (name == "active") return report::active;
  return std::nullopt;
}

}  // namespace pam::auth
