// Many batches over the same rows, sign-ups for the same addresses, a stranger who holds rows: no deadlock,
// and nobody waits for a lock that is not on its own row for longer than one lock timeout.
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "db/database.hpp"
#include "db/tests/pg_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

// As the product's: several at once, whose rows must be locked in the order of their keys.
constexpr statement touch_sessions{
    "WITH done AS (UPDATE some_sessions SET hits = some_sessions.hits + 1 FROM (SELECT * FROM "
    "unnest((SELECT $1)) WITH ORDINALITY AS k(p1, n) LIMIT (SELECT cardinality($1))) k "
    "WHERE some_sessions.id = ANY (ARRAY[k.p1]) RETURNING k.n, some_sessions.hits) "
    "SELECT * FROM done ORDER BY n",
    types(pg_type::int8_array),
    {.rank = lock_rank::session, .conflict_key = 0}};
constexpr statement touch_session{
    "UPDATE some_sessions SET hits = hits + 1 WHERE id = $1 RETURNING hits",
    types(pg_type::int8),
    {.rank = lock_rank::session, .conflict_key = 0, .together = &touch_sessions}};
// Wrong on purpose: half of the batches take their rows from the last key to the first.
constexpr statement touch_sessions_either_way{
    "WITH done AS (UPDATE some_sessions SET hits = some_sessions.hits + 1 FROM (SELECT * FROM "
    "unnest((SELECT $1)) WITH ORDINALITY AS k(p1, n) "
    "ORDER BY CASE WHEN ($1)[1] % 2 = 0 THEN n ELSE -n END LIMIT (SELECT cardinality($1))) k "
    "WHERE some_sessions.id = ANY (ARRAY[k.p1]) RETURNING k.n, some_sessions.hits) "
    "SELECT * FROM done ORDER BY n",
    types(pg_type::int8_array),
    {.rank = lock_rank::session, .conflict_key = 0}};
constexpr statement touch_session_either_way{
    "UPDATE some_sessions SET hits = 1 + hits WHERE id = $1 RETURNING hits",
    types(pg_type::int8),
    {.rank = lock_rank::session, .conflict_key = 0, .together = &touch_sessions_either_way}};
constexpr statement touch_account{"UPDATE some_accounts SET hits = hits + 1 WHERE id = $1 RETURNING hits",
                                  types(pg_type::int8),
                                  {.rank = lock_rank::account, .conflict_key = 0}};
// As the product's: the loser of a claim writes nothing and raises nothing.
constexpr statement sign_up{
    "WITH claim AS (INSERT INTO some_claims (address, account) VALUES ($2, $1)"
    " ON CONFLICT (address) DO NOTHING RETURNING account), "
    "owner AS (SELECT account FROM claim UNION ALL"
    " SELECT account FROM some_claims WHERE address = $2 AND account = $1), "
    "made AS (INSERT INTO some_accounts (id) SELECT $1 FROM owner ON CONFLICT (id) DO NOTHING) "
    "SELECT count(*) FROM owner",
    types(pg_type::int8, pg_type::text),
    {.rank = lock_rank::claim, .conflict_key = 1}};
/// The first three are chosen from by chance.
using some_statements = std::array<const statement*, 4>;
constexpr some_statements catalogue{&touch_session, &touch_account, &sign_up, &touch_sessions};
constexpr some_statements wrong_catalogue{&touch_session_either_way, &touch_account, &sign_up,
                                          &touch_sessions_either_way};

constexpr std::int64_t rows_touched = 100;
constexpr auto lock_timeout = 1s;

struct tally {
  int failures = 0;
  std::int64_t touched = 0;
  std::int64_t accounts_made = 0;
  std::chrono::nanoseconds longest{};
  std::string first_failure;
  std::uint64_t resent = 0;  ///< by the database, of batches that failed
};

struct contender {
  database& db;
  tally& into;
  std::mt19937_64 random;
  std::int64_t id;
  const some_statements& from = catalogue;

  std::int64_t pick(std::int64_t below) {
    return std::uniform_int_distribution<std::int64_t>{0, below - 1}(random);
  }
  asio::awaitable<void> work(int rounds, std::int64_t first_row) {
    for (int i = 0; i < rounds; ++i) {
      const auto begin = std::chrono::steady_clock::now();
      const std::int64_t kind = pick(3);
      params values;
      values.add(kind == 2 ? 1000 + id * 1000 + i : first_row + pick(rows_touched - first_row));
      if (kind == 2) values.add_text("user" + std::to_string(pick(40)) + "@example.org");
      const statement& what = *from[static_cast<std::size_t>(kind)];
      const auto got = co_await db.execute(what, std::move(values), within(30s));
      into.longest = std::max(into.longest, std::chrono::steady_clock::now() - begin);
      if (got.has_error()) {
        ++into.failures;
        into.first_failure = got.error().sqlstate + " " + got.error().detail;
      } else if (kind == 2) {
        into.accounts_made += got->int8(0, 0);
      } else {
        ++into.touched;
      }
    }
  }
};

class locks_pg : public ::testing::TestWithParam<way> {
 protected:
  locks_pg() {
    scratch.run(
        "CREATE TABLE some_sessions (id int8 PRIMARY KEY, hits int8 NOT NULL DEFAULT 0);"
        "CREATE TABLE some_accounts (id int8 PRIMARY KEY, hits int8 NOT NULL DEFAULT 0);"
        "CREATE TABLE some_claims (address text PRIMARY KEY, account int8 NOT NULL);"
        // Rows that lie in another order than their keys, in a table known to be small: read as a whole, they
        // would be locked as they lie.
        "INSERT INTO some_sessions (id) SELECT generate_series(99, 0, -1);"
        "INSERT INTO some_accounts (id) SELECT generate_series(0, 99);"
        "ANALYZE some_sessions");
  }
  config settings() const {
    config with = config_for(GetParam(), scratch.name());
    with.pipelines = 8;  // sixteen batches where the mode allows two a connection
    with.batch_limit = 32;
    return with;
  }
  /// Four hundred callers on eight connections. Whoever locks the row of a session keeps it for a moment
  /// before the next one, so that batches meet in the middle on a machine of any speed. Nothing but a
  /// deadlock fails a batch here; the server's own count of them comes late from connections that a pooler
  /// keeps.
  tally meet_over_the_same_rows(const some_statements& from) {
    scratch.run("ALTER DATABASE " + scratch.name() + " SET lock_timeout = 0");
    scratch.run(
        "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_sleep(0.0005); RETURN NEW; END';"
        "CREATE TRIGGER linger BEFORE UPDATE ON some_sessions FOR EACH ROW EXECUTE FUNCTION linger()");
    tally all;
    run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
      database db{context, settings(), from};
      EXPECT_TRUE((co_await db.start(async::within(10s))).has_value());
      EXPECT_TRUE(co_await eventually(context, [&] { return db.stats().connections_ready == 8; }));
      std::vector<contender> contenders;
      for (std::uint64_t i = 0; i < 400; ++i) {
        contenders.push_back({db, all, std::mt19937_64{i}, static_cast<std::int64_t>(i), from});
      }
      crowd many{context};
      for (contender& one : contenders) many.add([&one] { return one.work(6, 0); });
      co_await many.done();
      EXPECT_GT(db.stats().statements_together, 0U);
      all.resent = db.stats().statements_resent;
      co_await db.close(async::within(5s));
    });
    return all;
  }

  scratch_database scratch;
  const database_setting timeout{scratch, "lock_timeout = '1s'"};
  // Looked for long before the lock timeout would hide it.
  const database_setting detection{scratch, "deadlock_timeout = '10ms'"};
};

TEST_P(locks_pg, sixteen_batches_over_the_same_rows_never_deadlock) {
  const tally all = meet_over_the_same_rows(catalogue);

  EXPECT_EQ(all.failures, 0) << all.first_failure;
  EXPECT_EQ(all.resent, 0U);
  EXPECT_EQ(
      scratch.value("SELECT (SELECT sum(hits) FROM some_sessions) + (SELECT sum(hits) FROM some_accounts)"),
      std::to_string(all.touched));
  EXPECT_EQ(scratch.value("SELECT count(*) FROM some_claims"), std::to_string(all.accounts_made));
  EXPECT_EQ(scratch.value("SELECT count(*) FROM some_accounts WHERE id >= 1000"),
            std::to_string(all.accounts_made));
}

// What the test above is worth: the same meeting sees an order that is not that of the keys.
TEST_P(locks_pg, the_same_batches_in_another_order_of_locks_deadlock) {
  const tally all = meet_over_the_same_rows(wrong_catalogue);

  EXPECT_GT(all.resent, 0U);
}

TEST_P(locks_pg, nobody_waits_for_a_strangers_row_longer_than_one_lock_timeout) {
  admin_connection stranger = connect_admin(scratch.name());
  ASSERT_TRUE(stranger.run("BEGIN").has_value());
  ASSERT_TRUE(stranger.query("SELECT id FROM some_sessions WHERE id < 3 FOR UPDATE").has_value());
  tally others;
  std::array<std::optional<result<rows>>, 3> held;
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), catalogue};
    EXPECT_TRUE((co_await db.start(async::within(10s))).has_value());
    EXPECT_TRUE(co_await eventually(context, [&] { return db.stats().connections_ready == 8; }));
    crowd many{context};
    for (std::size_t i = 0; i < held.size(); ++i) {
      many.add([&db, &held, i]() -> asio::awaitable<void> {
        params values;
        values.add(static_cast<std::int64_t>(i));
        held[i].emplace(co_await db.execute(touch_session, std::move(values), within(3s)));
      });
    }
    std::vector<contender> contenders;
    for (std::uint64_t i = 0; i < 200; ++i) {
      contenders.push_back({db, others, std::mt19937_64{i}, static_cast<std::int64_t>(i)});
    }
    for (contender& one : contenders) many.add([&one] { return one.work(6, 3); });
    co_await many.done();
    co_await db.close(async::within(5s));
  });
  ASSERT_TRUE(stranger.run("ROLLBACK").has_value());

  EXPECT_EQ(others.failures, 0) << others.first_failure;
  // Who wants a locked row tries again for its three seconds; the others met one timeout and one batch, and
  // half a timeout more is what a busy machine may add.
  EXPECT_LT(others.longest, 2 * lock_timeout + lock_timeout / 2);
  for (const auto& one : held) {
    ASSERT_TRUE(one.has_value() && one->has_error());
    EXPECT_NE(one->error().sqlstate, "40P01");
  }
  EXPECT_EQ(scratch.value("SELECT sum(hits) FROM some_sessions WHERE id < 3"), "0");
}

INSTANTIATE_TEST_SUITE_P(ways, locks_pg, ::testing::Values(ways[0], ways[3], ways[5]),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace pam::db
