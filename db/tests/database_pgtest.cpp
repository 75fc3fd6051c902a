#include "db/database.hpp"

#include <array>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "db/tests/pg_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

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
constexpr std::array<const statement*, 12> all_statements{
    &echo,      &every_type, &insert, &insert_raw,  &insert_once, &touch,
    &read_item, &divide,     &doze,   &check_later, &moving_type, &plan_mode};

constexpr const char* schema =
    "CREATE TABLE items (id int8 PRIMARY KEY, owner text NOT NULL, hits int4 NOT NULL DEFAULT 0);"
    "CREATE TABLE charges (id int8);"
    "CREATE TABLE parents (id int8 PRIMARY KEY);"
    "CREATE TABLE children (id int8 PRIMARY KEY,"
    "  parent int8 REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE moving (a int4); INSERT INTO moving VALUES (7);";

params one(std::int64_t id) {
  params values;
  values.add(id);
  return values;
}
params pair_of(std::int64_t id, std::string_view text) {
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

TEST_P(database_pg, the_way_is_recognised) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);

    EXPECT_EQ(db.learned().mode, GetParam().learns);
    EXPECT_GE(db.learned().server_version, 140000);
    EXPECT_TRUE(db.learned().atomic_batches);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, every_type_makes_the_round_trip) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    const std::array<std::byte, 3> bytes{std::byte{0}, std::byte{1}, std::byte{255}};
    const timestamp when{std::chrono::microseconds{1'700'000'000'123'456}};
    boost::uuids::uuid id{};
    for (std::uint8_t i = 0; i < 16; ++i) id.data[i] = i;
    params values;
    values.add(true).add(std::span<const std::byte>{bytes}).add(std::int16_t{-2}).add(std::int32_t{-70000});
    values.add(std::int64_t{-5'000'000'000}).add_text("héllo").add(when).add(id);
    values.add_text(R"({"a": [1, 2]})").add_text("2001:db8::1/64");

    const auto got = co_await db.execute(every_type, std::move(values), within(5s));

    EXPECT_TRUE(got.has_value()) << got.error().detail;
    if (got.has_error()) co_return;
    EXPECT_EQ(got->size(), 1U);
    EXPECT_TRUE(got->boolean(0, 0));
    EXPECT_TRUE(std::ranges::equal(got->bytes(0, 1), bytes));
    EXPECT_EQ(got->int2(0, 2), -2);
    EXPECT_EQ(got->int4(0, 3), -70000);
    EXPECT_EQ(got->int8(0, 4), -5'000'000'000);
    EXPECT_EQ(got->text(0, 5), "héllo");
    EXPECT_EQ(got->time(0, 6), when);
    EXPECT_EQ(got->uuid(0, 7), id);
    EXPECT_EQ(got->text(0, 8), R"({"a": [1, 2]})");
    EXPECT_EQ(got->text(0, 9), "2001:db8::1/64");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, nulls_and_row_counts_are_told_apart) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    params with_null;
    with_null.add(std::int64_t{1}).add_null();

    const auto null_row = co_await db.execute(echo, std::move(with_null), within(5s));
    const auto inserted = co_await db.execute(insert, pair_of(1, "a"), within(5s));
    const auto again = co_await db.execute(insert, pair_of(1, "a"), within(5s));
    const auto missing = co_await db.execute(read_item, one(2), within(5s));

    EXPECT_TRUE(null_row.value().is_null(0, 1));
    EXPECT_EQ(null_row.value().affected(), 0);
    EXPECT_EQ(inserted.value().affected(), 1);
    EXPECT_EQ(again.value().affected(), 0);
    EXPECT_TRUE(missing.value().empty());
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, concurrent_statements_share_syncs) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    constexpr std::size_t callers = 256;
    std::vector<std::optional<result<rows>>> answers(callers);
    crowd many{context};

    for (std::size_t i = 0; i < callers; ++i) {
      many.add(
          [&, i] { return run_into(db, insert, pair_of(static_cast<std::int64_t>(i), "x"), answers[i]); });
    }
    co_await many.done();

    for (const auto& answer : answers) EXPECT_EQ(answer->value().affected(), 1);
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items"), "256");
    EXPECT_LE(db.stats().batches, 6U);
    EXPECT_EQ(db.stats().statements_executed, callers);
    co_await db.close(async::within(5s));
  });
}

// What the server logs is what it was asked to parse.
TEST_P(database_pg, one_parse_serves_neighbours_that_run_the_same_statement) {
  const database_setting logging{scratch, "log_min_duration_statement = 0"};
  const std::uint64_t earlier = count_in_log("parse <unnamed>: INSERT INTO items");
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    constexpr std::size_t callers = 40;
    std::vector<std::optional<result<rows>>> inserted(callers);
    std::vector<std::optional<result<rows>>> read(callers);
    crowd many{context};

    for (std::size_t i = 0; i < callers; ++i) {
      const auto id = static_cast<std::int64_t>(i);
      many.add(
          [&, i, id] { return run_into(db, insert, pair_of(id, "x" + std::to_string(id)), inserted[i]); });
    }
    co_await many.done();
    crowd readers{context};
    for (std::size_t i = 0; i < callers; ++i) {
      const auto id = static_cast<std::int64_t>(i);
      readers.add([&, i, id] { return run_into(db, i % 2 == 0 ? read_item : touch, one(id), read[i]); });
    }
    co_await readers.done();

    for (std::size_t i = 0; i < callers; ++i) EXPECT_EQ(inserted[i]->value().affected(), 1);
    for (std::size_t i = 0; i < callers; i += 2) {
      EXPECT_EQ(read[i]->value().int8(0, 0), static_cast<std::int64_t>(i));
      EXPECT_EQ(read[i]->value().text(0, 1), "x" + std::to_string(i));
    }
    const std::uint64_t parses = count_in_log("parse <unnamed>: INSERT INTO items") - earlier;
    const bool has_names = GetParam().learns != pooler_mode::pgbouncer_safe;  // parsed while connecting
    EXPECT_EQ(parses == 0, has_names);
    EXPECT_LE(parses, db.stats().batches) << "more than one a batch";
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_batch_that_plans_once_leaves_no_setting_behind) {
  const database_setting planning{scratch, "plan_cache_mode = force_custom_plan"};
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    std::vector<std::optional<result<rows>>> answers(40);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i) {
      const bool fails = i == 20;
      many.add([&, i, fails] {
        return fails ? run_into(db, insert_raw, pair_of(19, "twice"), answers[i])
                     : run_into(db, insert_raw, pair_of(static_cast<std::int64_t>(i), "x"), answers[i]);
      });
    }
    co_await many.done();
    const auto mode = co_await db.execute(plan_mode, params{}, within(5s));

    EXPECT_EQ(mode.value().text(0, 0), "force_custom_plan");
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items"), "39");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_failing_statement_harms_only_its_caller) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO items (id, owner) VALUES (5, 'other')");
    std::vector<std::optional<result<rows>>> answers(20);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i) {
      many.add([&, i] {
        return run_into(db, insert_raw, pair_of(static_cast<std::int64_t>(i), "x"), answers[i]);
      });
    }
    co_await many.done();

    for (std::size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i]->has_value(), i != 5) << i;
    EXPECT_EQ(answers[5]->error().sqlstate, "23505");
    EXPECT_EQ(answers[5]->error().constraint, "items_pkey");
    EXPECT_EQ(answers[5]->error().outcome, outcome::executed);
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items WHERE owner = 'x'"), "19");
    EXPECT_EQ(db.stats().data_errors, 1U);
    EXPECT_EQ(db.stats().statements_resent, 19U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, an_error_that_comes_with_the_commit_finds_its_statement) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO parents VALUES (1)");
    std::vector<std::optional<result<rows>>> answers(16);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i) {
      params values;
      values.add(static_cast<std::int64_t>(i)).add(std::int64_t{i == 9 ? 999 : 1});
      // A shared_ptr, since a task must be copyable no more than once is moved.
      many.add([&, i, given = std::make_shared<params>(std::move(values))] {
        return run_into(db, check_later, std::move(*given), answers[i]);
      });
    }
    co_await many.done();

    for (std::size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i]->has_value(), i != 9) << i;
    EXPECT_EQ(answers[9]->error().sqlstate, "23503");
    EXPECT_EQ(scratch.value("SELECT count(*) FROM children"), "15");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, an_error_detail_never_quotes_a_parameter) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    params bad_json;
    bad_json.add(true).add(std::span<const std::byte>{}).add(std::int16_t{}).add(std::int32_t{});
    bad_json.add(std::int64_t{}).add_text("x").add(timestamp{}).add(boost::uuids::uuid{});
    bad_json.add_text("topsecret").add_text("::1");

    const auto failed = co_await db.execute(every_type, std::move(bad_json), within(5s));
    const auto first = co_await db.execute(insert_raw, pair_of(424242, "topsecret"), within(5s));
    const auto second = co_await db.execute(insert_raw, pair_of(424242, "topsecret"), within(5s));

    EXPECT_EQ(failed.error().sqlstate, "22P02");
    EXPECT_EQ(failed.error().detail.find("topsecret"), std::string::npos) << failed.error().detail;
    EXPECT_TRUE(first.has_value());
    EXPECT_EQ(second.error().detail.find("424242"), std::string::npos) << second.error().detail;
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_locked_row_delays_only_those_who_want_it) {
  scratch.run("ALTER ROLE CURRENT_USER IN DATABASE " + scratch.name() + " SET lock_timeout = '50ms';");
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO items (id, owner) VALUES (1, 'a'), (2, 'b'), (3, 'c')");
    scratch.run("BEGIN; UPDATE items SET hits = 100 WHERE id = 2");
    std::array<std::optional<result<rows>>, 3> answers;
    crowd many{context};

    for (std::size_t i = 0; i < 3; ++i) {
      many.add([&, i] { return run_into(db, touch, one(static_cast<std::int64_t>(i + 1)), answers[i]); });
    }
    const bool others_answered =
        co_await eventually(context, [&] { return answers[0].has_value() && answers[2].has_value(); });
    const bool is_waiting = !answers[1].has_value();
    scratch.run("COMMIT");
    co_await many.done();

    EXPECT_TRUE(others_answered);
    EXPECT_TRUE(is_waiting);
    EXPECT_TRUE(answers[0]->has_value());
    EXPECT_EQ(answers[1]->value().int4(0, 0), 101);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_deadline_in_flight_says_unknown_and_the_late_rows_go_to_nobody) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{150});

    const auto late = co_await db.execute(doze, std::move(nap), within(30ms));
    const auto next = co_await db.execute(echo, pair_of(7, "mine"), within(5s));

    EXPECT_EQ(late.error().code, errc::deadline);
    EXPECT_EQ(late.error().outcome, outcome::unknown);
    EXPECT_EQ(next.value().int8(0, 0), 7);
    EXPECT_EQ(db.stats().expired, 1U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_deadline_in_the_queue_says_not_sent) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config safe = settings();
    safe.batches_in_flight = 1;
    database db{context, safe, all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{300});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper);
    });
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });

    const auto late = co_await db.execute(insert, pair_of(1, "late"), within(30ms));
    co_await many.done();

    EXPECT_EQ(late.error().code, errc::deadline);
    EXPECT_EQ(late.error().outcome, outcome::not_sent);
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items"), "0");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_caller_that_leaves_is_answered_at_once_and_harms_nobody) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{200});
    asio::cancellation_signal leave;
    bool has_left = false;
    auto on_end = [&](std::exception_ptr, result<rows> /*answer*/) { has_left = true; };
    asio::co_spawn(context, db.execute(doze, std::move(nap), within(10s)),
                   asio::bind_cancellation_slot(leave.slot(), on_end));
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });

    leave.emit(asio::cancellation_type::terminal);
    const bool was_prompt = co_await eventually(context, [&] { return has_left; });
    const bool was_in_flight = db.stats().in_flight == 1;
    const auto next = co_await db.execute(echo, pair_of(8, "mine"), within(5s));

    EXPECT_TRUE(was_prompt);
    EXPECT_TRUE(was_in_flight);
    EXPECT_EQ(next.value().int8(0, 0), 8);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_killed_backend_is_replaced_and_safe_statements_run_all_the_same) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    constexpr std::size_t callers = 400;
    std::vector<std::optional<result<rows>>> answers(callers);
    crowd many{context};
    for (std::size_t i = 0; i < callers; ++i) {
      many.add([&, i]() -> asio::awaitable<void> {
        co_await run_into(db, insert, pair_of(static_cast<std::int64_t>(i), "x"), answers[i]);
        co_await run_into(db, read_item, one(static_cast<std::int64_t>(i)), answers[i]);
      });
      if (i % 100 == 50) scratch.kill_backends();
    }
    params nap;
    nap.add(std::int32_t{300});
    std::optional<result<rows>> sleeper;
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper);
    });
    co_await eventually(context, [&] { return is_asleep(); });
    scratch.kill_backends();
    co_await many.done();

    for (std::size_t i = 0; i < callers; ++i) {
      EXPECT_TRUE(answers[i]->has_value()) << answers[i]->error().detail;
      EXPECT_EQ(answers[i]->value().int8(0, 0), static_cast<std::int64_t>(i));
    }
    EXPECT_TRUE(sleeper->has_value());
    EXPECT_GE(db.stats().disconnects, 1U);
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items"), "400");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_statement_that_may_run_once_is_unknown_when_its_backend_is_killed) {
  scratch.run(
      "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN PERFORM pg_sleep(10); RETURN NEW; END';"
      "CREATE TRIGGER slow BEFORE INSERT ON charges FOR EACH ROW EXECUTE FUNCTION slow()");
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    std::optional<result<rows>> answer;
    crowd many{context};
    many.add([&] { return run_into(db, insert_once, one(1), answer); });
    co_await eventually(context, [&] { return is_asleep(); });

    scratch.kill_backends();
    co_await many.done();

    EXPECT_EQ(answer->error().code, errc::connection);
    EXPECT_EQ(answer->error().outcome, outcome::unknown);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, it_serves_again_when_the_server_is_back) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    auto root = connect_admin("postgres");
    EXPECT_TRUE(root.run("ALTER DATABASE " + scratch.name() + " ALLOW_CONNECTIONS false").has_value());
    scratch.kill_backends();
    // A pooler keeps its clients and lets them wait; a direct connection is gone at once.
    if (!GetParam().through_pooler) {
      const bool went_down = co_await eventually(context, [&] { return !db.is_ready(); });
      EXPECT_TRUE(went_down);
    }
    const auto refused = co_await db.execute(insert, pair_of(1, "down"), within(50ms));

    EXPECT_TRUE(root.run("ALTER DATABASE " + scratch.name() + " ALLOW_CONNECTIONS true").has_value());
    const auto served = co_await db.execute(insert, pair_of(2, "up"), within(10s));

    EXPECT_TRUE(refused.has_error());
    if (refused.error().outcome == outcome::not_sent) {
      EXPECT_EQ(scratch.value("SELECT count(*) FROM items WHERE owner = 'down'"), "0");
    }
    EXPECT_EQ(refused.error().outcome == outcome::unknown, GetParam().through_pooler);
    EXPECT_TRUE(served.has_value());
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items WHERE owner = 'up'"), "1");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_standby_is_not_taken_for_the_primary) {
  auto root = connect_admin("postgres");
  ASSERT_TRUE(
      root.run("ALTER DATABASE " + scratch.name() + " SET default_transaction_read_only = on").has_value());
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};

    const auto started = co_await db.start(async::within(150ms));

    EXPECT_EQ(started.error().code, errc::unavailable);
    EXPECT_FALSE(db.is_ready());
    co_await db.close(async::within(1s));
  });
}

TEST_P(database_pg, a_primary_that_turns_read_only_is_left_and_the_write_waits_for_a_better_one) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    // The backends keep their old setting, so it is changed where they look each time: in a function.
    scratch.run(
        "CREATE TABLE mode (is_standby bool); INSERT INTO mode VALUES (true);"
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF (SELECT is_standby FROM mode) THEN RAISE SQLSTATE ''25006''; END IF;"
        " RETURN NEW; END';"
        "CREATE TRIGGER refuse BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION refuse()");
    std::optional<result<rows>> answer;
    crowd many{context};
    many.add([&] { return run_into(db, insert, pair_of(1, "x"), answer); });
    const bool was_left = co_await eventually(context, [&] { return db.stats().disconnects >= 2; });
    const bool still_waits = !answer.has_value();

    scratch.run("UPDATE mode SET is_standby = false");
    co_await many.done();

    EXPECT_TRUE(was_left);
    EXPECT_TRUE(still_waits);
    EXPECT_EQ(answer->value().affected(), 1);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_full_queue_refuses_at_once) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config small = settings();
    small.queue_limit = 4;
    small.batches_in_flight = 1;
    database db{context, small, all_statements};
    co_await start(db);
    std::vector<std::optional<result<rows>>> answers(10);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i) {
      many.add([&, i] { return run_into(db, echo, pair_of(static_cast<std::int64_t>(i), "x"), answers[i]); });
    }
    co_await many.done();

    std::size_t refused = 0;
    for (const auto& answer : answers) {
      if (answer->has_value()) continue;
      ++refused;
      EXPECT_EQ(answer->error().code, errc::queue_full);
      EXPECT_EQ(answer->error().outcome, outcome::not_sent);
    }
    EXPECT_EQ(refused, 6U);
    EXPECT_EQ(db.stats().rejected_queue_full, 6U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_wrong_number_of_parameters_never_reaches_the_shared_connection) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);

    const auto refused = co_await db.execute(echo, one(1), within(5s));

    EXPECT_EQ(refused.error().code, errc::protocol);
    EXPECT_EQ(refused.error().outcome, outcome::not_sent);
    EXPECT_EQ(db.stats().statements_sent, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_changed_result_type_heals_without_the_caller_noticing) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    for (int i = 0; i < 3; ++i) {
      const auto before = co_await db.execute(moving_type, one(1), within(5s));
      EXPECT_EQ(before.value().int4(0, 0), 7);
    }

    scratch.run("ALTER TABLE moving ALTER a TYPE int8");

    for (int i = 0; i < 3; ++i) {
      const auto after = co_await db.execute(moving_type, one(1), within(5s));
      EXPECT_TRUE(after.has_value()) << after.error().sqlstate;
      EXPECT_EQ(after.value().int8(0, 0), 7);
    }
    EXPECT_EQ(db.stats().disconnects, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_statement_whose_table_appears_later_works_without_a_reconnect) {
  static constexpr statement later{"SELECT x FROM created_later", types(), {}};
  static constexpr std::array<const statement*, 1> only{&later};
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), only};
    co_await start(db);
    const auto missing = co_await db.execute(later, params{}, within(5s));
    scratch.run("CREATE TABLE created_later (x int4); INSERT INTO created_later VALUES (3)");

    for (int i = 0; i < 3; ++i) {
      const auto found = co_await db.execute(later, params{}, within(5s));
      EXPECT_EQ(found.value().int4(0, 0), 3);
    }

    EXPECT_EQ(missing.error().sqlstate, "42P01");
    EXPECT_EQ(db.stats().connects, 1U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, no_answer_ever_goes_to_somebody_else) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    std::vector<std::unique_ptr<database>> shards;
    for (int i = 0; i < 4; ++i) {
      shards.push_back(std::make_unique<database>(context, settings(), all_statements));
      co_await start(*shards.back());
    }
    std::size_t wrong = 0;
    std::size_t right = 0;
    crowd many{context};
    for (std::size_t caller = 0; caller < 64; ++caller) {
      many.add([&, caller]() -> asio::awaitable<void> {
        database& db = *shards[caller % shards.size()];
        for (std::int64_t round = 0; round < 60; ++round) {
          const std::int64_t id = static_cast<std::int64_t>(caller) * 1000 + round;
          // Long and short, so that messages straddle libpq's buffer; some fail on the way.
          const std::string text(static_cast<std::size_t>(round % 7 == 0 ? 3000 : 20), 'a');
          if (round % 11 == 3) {
            params zero;
            zero.add(std::int32_t{0});
            const auto failed = co_await db.execute(divide, std::move(zero), within(20s));
            (failed.has_error() && failed.error().sqlstate == "22012" ? right : wrong) += 1;
            continue;
          }
          const auto got = co_await db.execute(echo, pair_of(id, text + std::to_string(id)), within(20s));
          const bool is_mine =
              got.has_value() && got->int8(0, 0) == id && got->text(0, 1) == text + std::to_string(id);
          (is_mine ? right : wrong) += 1;
        }
      });
    }
    co_await many.done();

    EXPECT_EQ(wrong, 0U);
    EXPECT_EQ(right, 64U * 60U);
    for (const auto& db : shards) co_await db->close(async::within(5s));
  });
}

TEST_P(database_pg, close_waits_for_what_is_under_way_and_refuses_the_rest) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{100});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper);
    });
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });
    std::optional<result<rows>> too_late;
    many.add([&]() -> asio::awaitable<void> {
      co_await eventually(context, [&] { return sleeper.has_value(); });
      co_await run_into(db, echo, pair_of(1, "x"), too_late);
    });

    co_await db.close(async::within(10s));
    co_await many.done();

    EXPECT_TRUE(sleeper->has_value());
    EXPECT_EQ(too_late->error().code, errc::closed);
    EXPECT_FALSE(db.is_ready());
  });
}

TEST_P(database_pg, close_does_not_wait_past_its_deadline) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{30000});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper, within(40s));
    });
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });

    co_await db.close(async::within(50ms));
    co_await many.done();

    EXPECT_EQ(sleeper->error().code, errc::closed);
    EXPECT_EQ(sleeper->error().outcome, outcome::unknown);
  });
}

TEST_P(database_pg, a_database_that_dies_without_close_takes_nobody_with_it) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    auto db = std::make_unique<database>(context, settings(), all_statements);
    co_await start(*db);

    db.reset();

    asio::steady_timer turn{context};
    turn.expires_after(1ms);
    co_await turn.async_wait(async::tuple_await);
  });
}

TEST_P(database_pg, a_stalled_connection_is_replaced_and_others_are_served) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config impatient = settings();
    impatient.stall_limit = 150ms;
    impatient.stall_grace = 100ms;
    database db{context, impatient, all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{10'000});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper, within(400ms));
    });
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });

    const auto served = co_await db.execute(echo, pair_of(9, "mine"), within(8s));
    co_await many.done();

    EXPECT_EQ(served.value().int8(0, 0), 9);
    EXPECT_GE(db.stats().disconnects, 1U);
    EXPECT_EQ(sleeper->error().outcome, outcome::unknown);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, what_a_stalled_connection_answers_within_the_grace_is_not_lost) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config impatient = settings();
    impatient.stall_limit = 150ms;
    impatient.stall_grace = 10s;
    database db{context, impatient, all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{800});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper);
    });
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });
    const bool is_replaced = co_await eventually(context, [&] { return db.stats().connects == 2; });
    const auto served = co_await db.execute(echo, pair_of(9, "mine"), within(5s));
    const bool was_served_meanwhile = !sleeper.has_value();
    co_await many.done();
    const bool is_closed = co_await eventually(context, [&] { return db.stats().disconnects == 1; });

    EXPECT_TRUE(is_replaced);
    EXPECT_TRUE(served.has_value());
    EXPECT_TRUE(was_served_meanwhile);
    EXPECT_TRUE(sleeper->has_value());
    EXPECT_TRUE(is_closed);
    EXPECT_EQ(db.stats().statements_sent, 2U);
    EXPECT_EQ(db.stats().connections_ready, 1U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, what_runs_on_a_stalled_connection_is_cancelled_when_it_is_closed) {
  if (GetParam().through_pooler) GTEST_SKIP() << "the pooler closes its server connection";
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config impatient = settings();
    impatient.stall_limit = 100ms;
    impatient.stall_grace = 100ms;
    database db{context, impatient, all_statements};
    co_await start(db);
    params nap;
    nap.add(std::int32_t{60'000});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper, within(150ms));
    });
    const bool has_slept = co_await eventually(context, [&] { return is_asleep(); });
    co_await many.done();
    const bool is_closed = co_await eventually(context, [&] { return db.stats().disconnects == 1; });

    const bool is_over = co_await eventually(context, [&] { return !is_asleep(); });

    EXPECT_TRUE(has_slept);
    EXPECT_TRUE(is_closed);
    EXPECT_TRUE(is_over);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, close_does_not_wait_for_what_no_connection_can_send_any_more) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config down = settings();
    down.hosts.front().host = "/nonexistent";
    database db{context, down, all_statements};
    const auto started = co_await db.start(async::within(30ms));
    std::optional<result<rows>> queued;
    crowd many{context};
    many.add([&] { return run_into(db, insert, pair_of(1, "x"), queued, within(40s)); });
    co_await eventually(context, [&] { return db.stats().queued == 1; });
    const auto before = std::chrono::steady_clock::now();

    co_await db.close(async::within(20s));

    EXPECT_LT(std::chrono::steady_clock::now() - before, 10s);
    co_await many.done();
    EXPECT_TRUE(started.has_error());
    EXPECT_EQ(queued->error().code, errc::closed);
    EXPECT_EQ(queued->error().outcome, outcome::not_sent);
  });
}

TEST_P(database_pg, a_batch_behind_one_that_met_a_standby_is_answered_before_the_connection_goes) {
  if (GetParam().mode != pooler_mode::direct) GTEST_SKIP() << "one batch in flight";
  scratch.run(
      "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN PERFORM pg_sleep(0.3); RAISE SQLSTATE ''25006''; END';"
      "CREATE TRIGGER slow BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION slow();"
      "CREATE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN PERFORM pg_sleep(0.3); RETURN NEW; END';"
      "CREATE TRIGGER nap BEFORE INSERT ON charges FOR EACH ROW EXECUTE FUNCTION nap()");
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    std::optional<result<rows>> refused;
    std::optional<result<rows>> behind;
    crowd many{context};
    many.add([&] { return run_into(db, insert, pair_of(1, "x"), refused, within(900ms)); });
    co_await eventually(context, [&] { return is_asleep(); });
    many.add([&] { return run_into(db, insert_once, one(1), behind); });

    co_await many.done();

    EXPECT_TRUE(refused->has_error());
    EXPECT_TRUE(behind->has_value()) << behind->error().detail;
    EXPECT_EQ(scratch.value("SELECT count(*) FROM charges"), "1");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, several_pipelines_share_the_work) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config wide = settings();
    wide.pipelines = 3;
    database db{context, wide, all_statements};
    co_await start(db);
    const bool all_up = co_await eventually(context, [&] { return db.stats().connections_ready == 3; });
    params nap;
    nap.add(std::int32_t{200});
    std::optional<result<rows>> sleeper;
    crowd many{context};
    many.add([&, given = std::make_shared<params>(std::move(nap))] {
      return run_into(db, doze, std::move(*given), sleeper);
    });
    co_await eventually(context, [&] { return db.stats().in_flight == 1; });

    const auto quick = co_await db.execute(echo, pair_of(1, "x"), within(5s));
    const bool was_quicker = !sleeper.has_value();
    co_await many.done();

    EXPECT_TRUE(all_up);
    EXPECT_TRUE(quick.has_value());
    EXPECT_TRUE(was_quicker);
    co_await db.close(async::within(5s));
  });
}

INSTANTIATE_TEST_SUITE_P(ways, database_pg, ::testing::ValuesIn(ways),
                         [](const auto& info) { return std::string{info.param.name}; });

// ---- finding out what stands in between ----

class database_mode_pg : public ::testing::Test {
 protected:
  pooler_mode learn(bool through_pooler, pooler_mode wanted) {
    const config settings = config_for({"", through_pooler, wanted}, scratch.name());
    pooler_mode found = pooler_mode::automatic;
    run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
      database db{context, settings, all_statements};
      co_await start(db);
      found = db.learned().mode;
      EXPECT_GE(db.learned().server_version, 140000);
      EXPECT_TRUE(db.learned().atomic_batches);
      co_await db.close(async::within(5s));
    });
    return found;
  }
  scratch_database scratch;
};

TEST_F(database_mode_pg, a_pooler_that_is_configured_as_direct_gets_the_safe_mode) {
  EXPECT_EQ(learn(true, pooler_mode::direct), pooler_mode::pgbouncer_safe);
}

TEST_F(database_mode_pg, an_old_pooler_that_is_configured_as_new_gets_the_safe_mode) {
  EXPECT_EQ(learn(true, pooler_mode::pgbouncer_named), pooler_mode::pgbouncer_safe);
}

TEST_F(database_mode_pg, the_named_mode_prepares_the_catalogue_and_serves) {
  EXPECT_EQ(learn(false, pooler_mode::pgbouncer_named), pooler_mode::pgbouncer_named);
}

TEST_F(database_mode_pg, a_server_that_is_not_there_is_unavailable) {
  config settings = config_for(ways[0], scratch.name());
  settings.hosts.front().host = "/nonexistent";
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings, all_statements};

    const auto started = co_await db.start(async::within(60ms));
    const auto refused = co_await db.execute(echo, pair_of(1, "x"), within(10ms));

    EXPECT_EQ(started.error().code, errc::unavailable);
    EXPECT_EQ(refused.error().code, errc::unavailable);
    co_await db.close(async::within(1s));
  });
}

TEST_F(database_mode_pg, a_host_name_is_resolved) {
  config settings = config_for({"", true, pooler_mode::automatic}, scratch.name());
  settings.hosts.front().host = "localhost";
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings, all_statements};
    co_await start(db);
    const auto got = co_await db.execute(echo, pair_of(1, "x"), within(5s));
    EXPECT_TRUE(got.has_value());
    co_await db.close(async::within(1s));
  });
}

TEST_F(database_mode_pg, answers_over_tls_arrive_whole_whatever_their_length) {
  static constexpr statement fill{"SELECT repeat('x', $1)", types(pg_type::int4), {}};
  static constexpr std::array<const statement*, 1> only{&fill};
  config settings = config_for(direct_tls, scratch.name());
  settings.stall_limit = 1s;
  settings.stall_grace = 0ms;
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings, only};
    co_await start(db);
    for (std::int32_t length = 1000; length < 60'000; length += 331) {
      params values;
      values.add(length);
      const auto got = co_await db.execute(fill, std::move(values), within(5s));
      EXPECT_TRUE(got.has_value()) << length;
      if (got.has_error()) break;
      EXPECT_EQ(got->text(0, 0).size(), static_cast<std::size_t>(length));
    }
    EXPECT_EQ(db.stats().disconnects, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_F(database_mode_pg, a_host_that_swallows_everything_costs_one_connect_timeout) {
  config settings = config_for(ways[0], scratch.name());
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    // Listens, never accepts: the kernel completes the handshake and nobody speaks.
    asio::ip::tcp::acceptor silent{context, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    settings.hosts.insert(settings.hosts.begin(), endpoint{"127.0.0.1", silent.local_endpoint().port()});
    settings.connect_timeout = 300ms;
    database db{context, settings, all_statements};
    co_await start(db);
    EXPECT_TRUE(db.is_ready());
    co_await db.close(async::within(1s));
  });
}

TEST_F(database_mode_pg, close_does_not_wait_for_a_connection_attempt) {
  config settings = config_for(ways[0], scratch.name());
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    asio::ip::tcp::acceptor silent{context, asio::ip::tcp::endpoint{asio::ip::address_v4::loopback(), 0}};
    settings.hosts = {endpoint{"127.0.0.1", silent.local_endpoint().port()}};
    settings.connect_timeout = std::chrono::minutes{5};
    database db{context, settings, all_statements};
    const auto started = co_await db.start(async::within(20ms));
    EXPECT_TRUE(started.has_error());
    co_await db.close(async::within(10ms));
  });
}

TEST_F(database_mode_pg, the_next_host_is_tried_when_the_first_is_down) {
  config settings = config_for(ways[0], scratch.name());
  settings.hosts.insert(settings.hosts.begin(), endpoint{"/nonexistent", 1});
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings, all_statements};
    co_await start(db);
    EXPECT_TRUE(db.is_ready());
    co_await db.close(async::within(1s));
  });
}

}  // namespace
}  // namespace pam::db
