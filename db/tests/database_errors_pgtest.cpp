// Statements that fail, locks, deadlines, callers that leave.
#include "db/database.hpp"

#include <array>
#include <chrono>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include "db/tests/database_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

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

TEST_P(database_pg, a_read_that_fails_in_company_fails_alone) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    std::vector<std::optional<result<rows>>> answers(12);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i)
      many.add([&, i] {
        boost::uuids::uuid id{};
        id.data[0] = i == 7 ? 0 : 1;
        params values;
        values.add(id);
        return run_into(db, invert, std::move(values), answers[i]);
      });
    co_await many.done();

    for (std::size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i]->has_value(), i != 7) << i;
    EXPECT_EQ(answers[7]->error().sqlstate, "22012");
    EXPECT_EQ(answers[7]->error().outcome, outcome::executed);
    EXPECT_EQ(answers[8]->value().int4(0, 0), 1);
    EXPECT_EQ(db.stats().statements_together, answers.size());
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_write_that_fails_in_company_fails_alone) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO items (id, owner, hits) SELECT n, 'x', 1 FROM generate_series(0, 11) n");
    std::vector<std::optional<result<rows>>> answers(12);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i)
      many.add([&, i] {
        const std::int32_t by = i == 7 ? std::numeric_limits<std::int32_t>::max() : 1;
        return run_into(db, raise, raise_by(static_cast<std::int64_t>(i), by), answers[i]);
      });
    co_await many.done();

    for (std::size_t i = 0; i < answers.size(); ++i) EXPECT_EQ(answers[i]->has_value(), i != 7) << i;
    EXPECT_EQ(answers[7]->error().sqlstate, "22003");
    EXPECT_EQ(answers[7]->error().outcome, outcome::executed);
    EXPECT_EQ(answers[8]->value().int4(0, 1), 2);
    EXPECT_EQ(db.stats().statements_together, answers.size());
    EXPECT_EQ(db.stats().data_errors, 1U);
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items WHERE hits = 2"), "11");
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, writes_that_met_a_locked_row_together_wait_no_second_time_for_it) {
  const database_setting patience{scratch, "lock_timeout = '400ms'"};
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO items (id, owner) SELECT n, 'x' FROM generate_series(0, 11) n");
    scratch.run("BEGIN; SELECT 1 FROM items WHERE id = 7 FOR UPDATE");
    std::vector<std::optional<result<rows>>> answers(12);
    std::size_t answered = 0;
    const auto begin = std::chrono::steady_clock::now();
    std::chrono::steady_clock::duration others{};
    crowd many{context};
    const auto one_of = [&](std::size_t i) -> asio::awaitable<void> {
      co_await run_into(db, raise, raise_by(static_cast<std::int64_t>(i), 1), answers[i]);
      if (++answered != 11) co_return;
      others = std::chrono::steady_clock::now() - begin;
      EXPECT_FALSE(answers[7].has_value());
      scratch.run("COMMIT");
    };

    for (std::size_t i = 0; i < answers.size(); ++i) many.add([&, i] { return one_of(i); });
    co_await many.done();

    for (const auto& answer : answers) EXPECT_EQ(answer->value().int4(0, 1), 1);
    EXPECT_EQ(db.stats().statements_together, answers.size());
    EXPECT_GE(others, 400ms);
    EXPECT_LT(others, 780ms) << "a second lock timeout";
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

}  // namespace
}  // namespace pam::db
