// What callers get when nothing fails: their own rows, in every mode.
#include "db/database.hpp"

#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "db/tests/database_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

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

boost::uuids::uuid owner_number(std::size_t n) {
  boost::uuids::uuid id{};
  id.data[15] = static_cast<std::uint8_t>(n);
  return id;
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

TEST_P(database_pg, reads_that_travel_together_bring_each_caller_its_own_rows) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    // Owner n has n rows, for n from 0 to 6; each is asked for five times.
    scratch.run(
        "INSERT INTO notes SELECT lpad(n::text, 32, '0')::uuid, n || '/' || m FROM generate_series(0, 6) n, "
        "generate_series(1, n) m");
    std::vector<std::optional<result<rows>>> answers(35);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i)
      many.add([&, i] {
        params values;
        values.add(owner_number(i % 7)).add(boost::uuids::uuid{});
        return run_into(db, notes_of, std::move(values), answers[i]);
      });
    co_await many.done();

    for (std::size_t i = 0; i < answers.size(); ++i) {
      EXPECT_TRUE(answers[i]->has_value()) << answers[i]->error().detail;
      if (answers[i]->has_error()) co_return;
      const rows& got = answers[i]->value();
      EXPECT_EQ(got.size(), i % 7);
      EXPECT_EQ(got.empty(), i % 7 == 0);
      for (std::size_t row = 0; row < got.size(); ++row) {
        EXPECT_EQ(got.uuid(row, 0), owner_number(i % 7));
        EXPECT_TRUE(got.text(row, 1).starts_with(std::to_string(i % 7) + "/")) << got.text(row, 1);
      }
    }
    EXPECT_EQ(db.stats().statements_executed, answers.size());
    EXPECT_GE(db.stats().statements_together, 30U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, a_caller_without_company_is_answered_by_the_statement_for_one) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO notes VALUES (lpad('3', 32, '0')::uuid, 'only')");
    params values;
    values.add(owner_number(3)).add(boost::uuids::uuid{});

    const auto got = co_await db.execute(notes_of, std::move(values), within(5s));

    EXPECT_EQ(got.value().text(0, 1), "only");
    EXPECT_EQ(db.stats().statements_together, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, writes_that_travel_together_bring_each_caller_its_own_row_and_none_to_others) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO items (id, owner, hits) SELECT n, 'x', n FROM generate_series(0, 19) n");
    std::vector<std::optional<result<rows>>> answers(40);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i)
      many.add([&, i] {
        const auto number = static_cast<std::int32_t>(i);
        return run_into(db, raise, raise_by(number, 100 * number), answers[i]);
      });
    co_await many.done();

    for (std::size_t i = 0; i < answers.size(); ++i) {
      EXPECT_TRUE(answers[i]->has_value()) << answers[i]->error().detail;
      if (answers[i]->has_error()) co_return;
      const rows& got = answers[i]->value();
      EXPECT_EQ(got.size(), i < 20 ? 1U : 0U);
      if (got.empty()) continue;
      EXPECT_EQ(got.int8(0, 0), static_cast<std::int64_t>(i));
      EXPECT_EQ(got.int4(0, 1), static_cast<std::int32_t>(i * 101));
    }
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items WHERE hits = 101 * id"), "20");
    EXPECT_EQ(db.stats().statements_executed, answers.size());
    EXPECT_GE(db.stats().statements_together, 30U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(database_pg, every_write_of_one_row_takes_place_however_many_travel) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), all_statements};
    co_await start(db);
    scratch.run("INSERT INTO items (id, owner) SELECT n, 'x' FROM generate_series(0, 4) n");
    std::vector<std::optional<result<rows>>> answers(60);
    crowd many{context};

    for (std::size_t i = 0; i < answers.size(); ++i)
      many.add(
          [&, i] { return run_into(db, raise, raise_by(static_cast<std::int64_t>(i % 5), 1), answers[i]); });
    co_await many.done();

    std::array<std::set<std::int32_t>, 5> seen;
    for (std::size_t i = 0; i < answers.size(); ++i) seen.at(i % 5).insert(answers[i]->value().int4(0, 1));
    for (const auto& of_one : seen) EXPECT_EQ(of_one.size(), 12U);
    EXPECT_EQ(scratch.value("SELECT count(*) FROM items WHERE hits = 12"), "5");
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

INSTANTIATE_TEST_SUITE_P(ways, database_pg, ::testing::ValuesIn(ways),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace pam::db
