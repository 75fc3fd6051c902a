// Connections that are lost or stall, servers that change their role, and the end of the object.
#include "db/database.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "db/tests/database_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

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

}  // namespace
}  // namespace pam::db
