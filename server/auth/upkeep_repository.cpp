#include "server/auth/upkeep_repository.hpp"

#include <array>
#include <utility>

namespace pam::auth {
namespace {

using db::pg_type;

constexpr db::statement beat_statement{
    "INSERT INTO app_instances (id, host, pid, version, schema_version, started_at, seen_at) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE "
    "SET seen_at = greatest(app_instances.seen_at, excluded.seen_at), ended_at = NULL",
    db::types(pg_type::uuid, pg_type::text, pg_type::int4, pg_type::text, pg_type::int4, pg_type::timestamptz,
              pg_type::timestamptz),
    {.rank = db::lock_rank::other, .conflict_key = 0, .summary = "beat"}};

constexpr db::statement end_statement{
    "UPDATE app_instances SET ended_at = $2 WHERE id = $1",
    db::types(pg_type::uuid, pg_type::timestamptz),
    {.rank = db::lock_rank::other, .conflict_key = 0, .summary = "end_instance"}};

constexpr db::statement ensure_statement{
    "SELECT coalesce(sum(ensure_partitions(parent)), 0)::int4 FROM partition_rules",
    std::array<pg_type, 0>{},
    {.batch = db::batch::alone, .summary = "ensure_partitions"}};

constexpr db::statement supplies_statement{
    "SELECT parent, has_current, has_next, ahead FROM partition_state($1)",
    db::types(pg_type::timestamptz),
    {.summary = "read_partitions"}};

constexpr db::statement steps_statement{
    "SELECT step, greatest(0, extract(epoch FROM $1 - finished_at))::int8, is_done FROM maintenance_steps",
    db::types(pg_type::timestamptz),
    {.summary = "read_maintenance"}};

constexpr std::array<const db::statement*, 5> all_statements{
    &beat_statement, &end_statement, &ensure_statement, &supplies_statement, &steps_statement};

}  // namespace

boost::asio::awaitable<result<void>> upkeep_repository::beat(instance who, timestamp now,
                                                             async::deadline deadline) {
  db::params values;
  values.add(who.id).add_text(who.host).add(who.pid).add_text(who.version).add(who.schema_version);
  values.add(who.started_at).add(now);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(beat_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return result<void>{};
}

boost::asio::awaitable<result<void>> upkeep_repository::end(uuid id, timestamp now,
                                                            async::deadline deadline) {
  db::params values;
  values.add(id).add(now);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(end_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  co_return result<void>{};
}

boost::asio::awaitable<result<std::int32_t>> upkeep_repository::ensure_partitions(async::deadline deadline) {
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(ensure_statement, db::params{}, options);
  if (rows.has_error()) co_return from_database(rows.error());
  const std::int32_t made = rows->int4(0, 0);
  co_return made;
}

boost::asio::awaitable<result<std::vector<partition_supply>>> upkeep_repository::supplies(
    timestamp now, async::deadline deadline) {
  db::params values;
  values.add(now);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(supplies_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::vector<partition_supply> all;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    partition_supply each;
    each.table = rows->text(row, 0);
    each.has_current = rows->boolean(row, 1);
    each.has_next = rows->boolean(row, 2);
    each.ahead = rows->int4(row, 3);
    all.push_back(std::move(each));
  }
  co_return all;
}

boost::asio::awaitable<result<std::vector<maintenance_step>>> upkeep_repository::steps(
    timestamp now, async::deadline deadline) {
  db::params values;
  values.add(now);
  const db::call_options options{deadline};
  auto rows = co_await database_.execute(steps_statement, std::move(values), options);
  if (rows.has_error()) co_return from_database(rows.error());
  std::vector<maintenance_step> all;
  for (std::size_t row = 0; row < rows->size(); ++row) {
    maintenance_step each;
    each.name = rows->text(row, 0);
    each.age_seconds = rows->int8(row, 1);
    each.is_done = rows->boolean(row, 2);
    all.push_back(std::move(each));
  }
  co_return all;
}

const db::statement& upkeep_repository::ensure_partitions_statement() {
  return ensure_statement;
}

std::span<const db::statement* const> upkeep_repository::statements() {
  return all_statements;
}

}  // namespace pam::auth
