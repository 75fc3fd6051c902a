#pragma once

#include <array>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "db/tests/pg_fixture.hpp"

namespace pam::db::testing {

// The statements, tables and settings that the tests of the facade share.

constexpr statement echo{"SELECT $1::int8, $2::text", types(pg_type::int8, pg_type::text), {}};
constexpr statement every_type{
    "SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9::text, $10::text",
    types(pg_type::boolean, pg_type::bytea, pg_type::int2, pg_type::int4, pg_type::int8, pg_type::text,
          pg_type::timestamptz, pg_type::uuid, pg_type::jsonb, pg_type::inet),
    {}};
constexpr statement insert{"INSERT INTO items (id, owner) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING",
                           types(pg_type::int8, pg_type::text),
                           {.rank = lock_rank::other, .conflict_key = 0}};
constexpr statement insert_raw{"INSERT INTO items (id, owner) VALUES ($1, $2)",
                               types(pg_type::int8, pg_type::text),
                               {.rank = lock_rank::other, .conflict_key = 0}};
constexpr statement insert_once{
    "INSERT INTO charges (id) VALUES ($1)", types(pg_type::int8), {.repeat = repeat::once}};
constexpr statement touch{"UPDATE items SET hits = hits + 1 WHERE id = $1 RETURNING hits",
                          types(pg_type::int8),
                          {.rank = lock_rank::other, .conflict_key = 0}};
constexpr statement read_item{"SELECT id, owner FROM items WHERE id = $1", types(pg_type::int8), {}};
constexpr statement divide{"SELECT 1 / $1", types(pg_type::int4), {}};
constexpr statement doze{"SELECT pg_sleep($1::float8 / 1000)", types(pg_type::int4), {.batch = batch::alone}};
constexpr statement check_later{
    "INSERT INTO children (id, parent) VALUES ($1, $2)", types(pg_type::int8, pg_type::int8), {}};
constexpr statement moving_type{"SELECT * FROM moving WHERE $1::int8 > 0", types(pg_type::int8), {}};
constexpr statement plan_mode{"SELECT current_setting('plan_cache_mode')", types(), {}};
// Reads that travel together; the second one fails for the nil UUID.
constexpr auto notes_of_several_sql =
    for_several("SELECT $1, note FROM notes WHERE owner = $1 AND lower(note) <> $2::text", 2);
constexpr statement notes_of_several{
    notes_of_several_sql.c_str(), types(pg_type::uuid_array, pg_type::uuid_array), {}};
constexpr statement notes_of{"SELECT $1, note FROM notes WHERE owner = $1 AND lower(note) <> $2::text",
                             types(pg_type::uuid, pg_type::uuid),
                             {.together = &notes_of_several}};
constexpr auto invert_several_sql =
    for_several("SELECT 1 / CASE WHEN $1 = '00000000-0000-0000-0000-000000000000' THEN 0 ELSE 1 END", 1);
constexpr statement invert_several{invert_several_sql.c_str(), types(pg_type::uuid_array), {}};
constexpr statement invert{
    "SELECT 1 / CASE WHEN $1 = '00000000-0000-0000-0000-000000000000' THEN 0 ELSE 1 END",
    types(pg_type::uuid),
    {.together = &invert_several}};
// Writes that travel together; a sum beyond int4 is a data error.
constexpr statement raise_several{
    "WITH done AS (UPDATE items SET hits = items.hits + k.p2 FROM (SELECT * FROM unnest((SELECT $1), "
    "(SELECT $2)) WITH ORDINALITY AS k(p1, p2, n) LIMIT (SELECT cardinality($1))) k "
    "WHERE items.id = ANY (ARRAY[k.p1]) RETURNING k.n, items.id, items.hits) SELECT * FROM done ORDER BY n",
    types(pg_type::int8_array, pg_type::int4_array),
    {.rank = lock_rank::other, .conflict_key = 0}};
constexpr statement raise{"UPDATE items SET hits = hits + $2 WHERE id = $1 RETURNING id, hits",
                          types(pg_type::int8, pg_type::int4),
                          {.rank = lock_rank::other, .conflict_key = 0, .together = &raise_several}};
constexpr std::array<const statement*, 18> all_statements{
    &echo,      &every_type,       &insert, &insert_raw,     &insert_once, &touch,
    &read_item, &divide,           &doze,   &check_later,    &moving_type, &plan_mode,
    &notes_of,  &notes_of_several, &invert, &invert_several, &raise,       &raise_several};

constexpr const char* schema =
    "CREATE TABLE items (id int8 PRIMARY KEY, owner text NOT NULL, hits int4 NOT NULL DEFAULT 0);"
    "CREATE TABLE charges (id int8);"
    "CREATE TABLE parents (id int8 PRIMARY KEY);"
    "CREATE TABLE children (id int8 PRIMARY KEY,"
    "  parent int8 REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE notes (owner uuid NOT NULL, note text NOT NULL);"
    "CREATE TABLE moving (a int4); INSERT INTO moving VALUES (7);";

inline params one(std::int64_t id) {
  params values;
  values.add(id);
  return values;
}
inline params raise_by(std::int64_t id, std::int32_t by) {
  params values;
  values.add(id).add(by);
  return values;
}
inline params pair_of(std::int64_t id, std::string_view text) {
  params values;
  values.add(id).add_text(text);
  return values;
}

class database_pg : public ::testing::TestWithParam<way> {
 protected:
  database_pg() { scratch.run(schema); }
  config settings() const { return config_for(GetParam(), scratch.name()); }
  /// True while a statement of ours sleeps in the server.
  bool is_asleep() {
    return scratch.value(
               "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
               " AND wait_event = 'PgSleep'") != "0";
  }

  /// Lines of the server's log about this database that contain `text`.
  std::uint64_t count_in_log(std::string_view text) {
    std::ifstream log{service("PAM_TEST_SERVICES_ROOT") + "/log/postgres.log"};
    std::uint64_t count = 0;
    for (std::string line; std::getline(log, line);) {
      const bool is_ours = line.find("@" + scratch.name() + " ") != std::string::npos;
      if (is_ours && line.find(text) != std::string::npos) ++count;
    }
    return count;
  }

  scratch_database scratch;
};

}  // namespace pam::db::testing
