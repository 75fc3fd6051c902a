#include <array>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "db/database.hpp"
#include "db/tests/pg_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

constexpr statement add_row{"INSERT INTO ledger (id) VALUES ($1)", types(pg_type::int8), {}};
constexpr statement divide{"SELECT 1 / $1", types(pg_type::int4), {}};
constexpr statement doze{"SELECT pg_sleep($1::float8 / 1000)", types(pg_type::int4), {}};
constexpr std::array<const statement*, 3> catalogue{&add_row, &divide, &doze};

params one(std::int64_t id) {
  params values;
  values.add(id);
  return values;
}
params small(std::int32_t number) {
  params values;
  values.add(number);
  return values;
}
tx_options tx_within(std::chrono::milliseconds budget) {
  tx_options options;
  options.deadline = async::within(budget);
  return options;
}

class transaction_pg : public ::testing::TestWithParam<way> {
 protected:
  transaction_pg() { scratch.run("CREATE TABLE ledger (id int8 PRIMARY KEY)"); }
  config settings(std::size_t leases = 4) const {
    config made = config_for(GetParam(), scratch.name());
    made.leases = leases;
    return made;
  }
  std::string count() { return scratch.value("SELECT count(*) FROM ledger"); }

  scratch_database scratch;
};

TEST_P(transaction_pg, a_commit_makes_all_of_it_visible) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), catalogue};
    auto tx = co_await db.begin(tx_within(5s));
    EXPECT_TRUE(tx.has_value()) << tx.error().detail;
    const auto first = co_await tx->execute(add_row, one(1));
    const auto second = co_await tx->execute(add_row, one(2));
    EXPECT_EQ(count(), "0");

    const auto committed = co_await tx->commit();

    EXPECT_TRUE(first.has_value() && second.has_value() && committed.has_value());
    EXPECT_EQ(count(), "2");
    EXPECT_EQ(db.stats().leases_in_use, 0U);
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, one_that_is_dropped_unfinished_is_rolled_back_and_its_connection_serves_on) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(1), catalogue};
    {
      auto tx = co_await db.begin(tx_within(5s));
      const auto added = co_await tx->execute(add_row, one(1));
      EXPECT_TRUE(added.has_value());
    }

    auto next = co_await db.begin(tx_within(5s));
    EXPECT_TRUE(next.has_value());
    const auto again = co_await next->execute(add_row, one(1));
    const auto committed = co_await next->commit();

    EXPECT_TRUE(again.has_value()) << "the first one's row is still there";
    EXPECT_TRUE(committed.has_value());
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, rollback_undoes_and_ends_it) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), catalogue};
    auto tx = co_await db.begin(tx_within(5s));
    const auto added = co_await tx->execute(add_row, one(1));

    co_await tx->rollback();
    const auto after = co_await tx->execute(add_row, one(2));
    const auto commit_after = co_await tx->commit();

    EXPECT_TRUE(added.has_value());
    EXPECT_EQ(after.error().code, errc::closed);
    EXPECT_EQ(commit_after.error().code, errc::closed);
    EXPECT_EQ(count(), "0");
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, the_commit_of_a_failed_one_is_an_error) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), catalogue};
    auto tx = co_await db.begin(tx_within(5s));
    const auto added = co_await tx->execute(add_row, one(1));
    const auto failed = co_await tx->execute(divide, small(0));

    const auto committed = co_await tx->commit();

    EXPECT_TRUE(added.has_value());
    EXPECT_EQ(failed.error().sqlstate, "22012");
    EXPECT_EQ(committed.error().code, errc::rejected);
    EXPECT_EQ(count(), "0");
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, a_read_only_one_cannot_write) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), catalogue};
    tx_options options = tx_within(5s);
    options.is_read_only = true;
    auto tx = co_await db.begin(options);

    const auto refused = co_await tx->execute(add_row, one(1));

    EXPECT_EQ(refused.error().sqlstate, "25006");
    co_await tx->rollback();
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, those_who_find_no_connection_wait_their_turn_until_their_deadline) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    config two = settings(1);
    two.lease_queue_limit = 1;
    database db{context, two, catalogue};
    auto first = co_await db.begin(tx_within(5s));
    EXPECT_TRUE(first.has_value());

    const auto late = co_await db.begin(tx_within(30ms));
    std::optional<result<transaction>> waited;
    auto wait = [&]() -> asio::awaitable<void> { waited.emplace(co_await db.begin(tx_within(5s))); };
    asio::co_spawn(context, wait(), asio::detached);
    co_await eventually(context, [&] { return db.stats().lease_waiters == 1; });
    const auto refused = co_await db.begin(tx_within(5s));
    co_await first->rollback();
    const bool got_it = co_await eventually(context, [&] { return waited.has_value(); });

    EXPECT_EQ(late.error().code, errc::deadline);
    EXPECT_EQ(late.error().outcome, outcome::not_sent);
    EXPECT_EQ(refused.error().code, errc::queue_full);
    EXPECT_TRUE(got_it && waited->has_value());
    waited.reset();
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, a_passed_deadline_drops_the_connection_and_nothing_took_effect) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(1), catalogue};
    auto tx = co_await db.begin(tx_within(150ms));
    const auto added = co_await tx->execute(add_row, one(1));

    const auto late = co_await tx->execute(doze, small(2000));
    {
      const auto dropped = std::move(*tx);
    }
    auto next = co_await db.begin(tx_within(5s));

    EXPECT_TRUE(added.has_value());
    EXPECT_EQ(late.error().code, errc::deadline);
    EXPECT_EQ(late.error().outcome, outcome::not_sent);
    EXPECT_TRUE(next.has_value()) << "the place of the dropped connection is free again";
    co_await next->rollback();
    co_await db.close(async::within(5s));
    EXPECT_EQ(count(), "0");
  });
}

TEST_P(transaction_pg, an_idle_connection_that_died_is_replaced_without_anybody_noticing) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(1), catalogue};
    auto first = co_await db.begin(tx_within(5s));
    co_await first->rollback();
    scratch.kill_backends();

    auto second = co_await db.begin(tx_within(5s));

    EXPECT_TRUE(second.has_value());
    const auto added = co_await second->execute(add_row, one(1));
    EXPECT_TRUE(added.has_value());
    const auto committed = co_await second->commit();
    EXPECT_TRUE(committed.has_value());
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, close_waits_for_open_ones_and_cuts_them_at_its_deadline) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(), catalogue};
    auto tx = co_await db.begin(tx_within(5s));
    const auto added = co_await tx->execute(add_row, one(1));

    co_await db.close(async::within(30ms));
    const auto cut = co_await tx->commit();

    EXPECT_TRUE(added.has_value());
    EXPECT_TRUE(cut.has_error());
    const auto refused = co_await db.begin(tx_within(1s));
    EXPECT_EQ(refused.error().code, errc::closed);
  });
  EXPECT_EQ(count(), "0");
}

TEST_P(transaction_pg, what_runs_past_its_deadline_is_cancelled_with_its_connection) {
  if (GetParam().through_pooler) GTEST_SKIP() << "the pooler closes its server connection";
  const auto is_asleep = [&] {
    return scratch.value(
               "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
               " AND wait_event = 'PgSleep'") != "0";
  };
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(1), catalogue};
    {
      auto tx = co_await db.begin(tx_within(300ms));
      const auto late = co_await tx->execute(doze, small(60'000));
      EXPECT_EQ(late.error().code, errc::deadline);
      EXPECT_TRUE(is_asleep());
    }

    const bool is_over = co_await eventually(context, [&] { return !is_asleep(); });

    EXPECT_TRUE(is_over);
    co_await db.close(async::within(5s));
  });
}

TEST_P(transaction_pg, a_connection_that_refused_a_write_is_not_used_again) {
  if (GetParam().through_pooler) GTEST_SKIP() << "the pooler keeps the backend for other clients";
  scratch.run(
      "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
      " 'BEGIN RAISE SQLSTATE ''25006''; END';"
      "CREATE TRIGGER refuse BEFORE INSERT ON ledger FOR EACH ROW EXECUTE FUNCTION refuse()");
  static constexpr statement who{"SELECT pg_backend_pid()", types(), {}};
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    database db{context, settings(1), catalogue};
    std::array<std::int32_t, 3> backends{};
    for (std::size_t i = 0; i < backends.size(); ++i) {
      tx_options options = tx_within(5s);
      options.is_read_only = i == 0;  // there the refusal is what was asked for
      auto tx = co_await db.begin(options);
      const auto self = co_await tx->execute(who, params{});
      backends[i] = self->int4(0, 0);
      const auto refused = co_await tx->execute(add_row, one(1));
      EXPECT_EQ(refused.error().sqlstate, "25006");
      co_await tx->rollback();
    }

    EXPECT_EQ(backends[0], backends[1]);
    EXPECT_NE(backends[1], backends[2]);
    co_await db.close(async::within(5s));
  });
}

INSTANTIATE_TEST_SUITE_P(ways, transaction_pg, ::testing::ValuesIn(ways),
                         [](const auto& info) { return std::string{info.param.name}; });

}  // namespace
}  // namespace pam::db
