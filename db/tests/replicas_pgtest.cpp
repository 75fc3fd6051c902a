// Reads on real streaming standbys: never stale, whoever wrote and whatever happens to a standby.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "db/database.hpp"
#include "db/replica_watch.hpp"
#include "db/tests/cluster_fixture.hpp"
#include "db/tests/pg_fixture.hpp"
#include "db/tests/stalling_proxy.hpp"

namespace pam::db {
namespace {

using namespace testing;
using account_id = boost::uuids::uuid;

constexpr statement write{"UPDATE notes SET value = $2 WHERE account = $1",
                          types(pg_type::uuid, pg_type::int8),
                          {.rank = lock_rank::account, .conflict_key = 0}};
constexpr statement read{
    "SELECT value, pg_is_in_recovery() FROM notes WHERE account = $1", types(pg_type::uuid), {}};
// As the bearer check does: something every request asks the primary anyway, and how far its log is.
constexpr statement check{
    "SELECT value, (pg_current_wal_flush_lsn() - '0/0'::pg_lsn)::int8, "
    "('x' || left(pg_walfile_name(pg_current_wal_flush_lsn()), 8))::bit(32)::int4 "
    "FROM notes WHERE account = $1",
    types(pg_type::uuid),
    {}};
constexpr std::array<const statement*, 3> all_statements{&write, &read, &check};

constexpr std::uint8_t accounts = 24;

account_id account(std::uint8_t number) {
  account_id id{};
  id.data[15] = number;
  return id;
}
params values_of(std::uint8_t number) {
  params values;
  values.add(account(number));
  return values;
}

/// 10,000 rounds when PAM_TEST_ROUNDS says so; the suite has less time.
std::int64_t rounds() {
  const char* const text = std::getenv("PAM_TEST_ROUNDS");
  return text == nullptr ? 1500 : std::atoll(text);
}

/// A primary with two standbys; databases of several processes share nothing but them.
class replicas_pg : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::setenv("PAM_CLUSTER_CONF", "shared_preload_libraries = 'pg_stat_statements'", 1);
    nodes = std::make_unique<cluster>(2);
    ::unsetenv("PAM_CLUSTER_CONF");
    nodes->sql(1,
               "CREATE EXTENSION pg_stat_statements;"
               "CREATE TABLE notes (account uuid PRIMARY KEY, value int8 NOT NULL) WITH (fillfactor = 50);"
               "INSERT INTO notes SELECT lpad(to_hex(n), 32, '0')::uuid, 0 FROM generate_series(0, 31) AS n");
  }
  static void TearDownTestSuite() { nodes.reset(); }

  static config settings() {
    config how;
    how.hosts = {nodes->where(1)};
    how.replicas = {nodes->where(2), nodes->where(3)};
    how.database = "postgres";
    how.user = "postgres";
    how.mode = pooler_mode::direct;
    how.probe_interval = 20ms;
    return how;
  }
  static std::unique_ptr<database> make(asio::io_context& context) {
    return std::make_unique<database>(context, settings(), all_statements);
  }
  static asio::awaitable<void> start(asio::io_context& context, database& one, std::uint64_t admitted = 2) {
    const auto started = co_await one.start(async::within(10s));
    EXPECT_TRUE(started.has_value());
    EXPECT_TRUE(co_await eventually(context, [&] { return one.stats().replicas_admitted >= admitted; }));
  }

  static std::unique_ptr<cluster> nodes;
};
std::unique_ptr<cluster> replicas_pg::nodes;

/// What the rounds of all accounts have seen.
struct tally {
  std::int64_t rounds = 0;
  std::int64_t stale = 0;
  std::int64_t failed = 0;
  std::int64_t by_replica = 0;
};

/// Writes at one process and reads at another, as fast as answers come, until enough rounds are done.
asio::awaitable<void> write_then_read(std::vector<std::unique_ptr<database>>& processes, std::uint8_t whose,
                                      std::int64_t wanted, bool by_marks, tally& seen) {
  for (std::int64_t value = 1; seen.rounds < wanted; ++value) {
    ++seen.rounds;
    const auto turn = static_cast<std::size_t>(value) + whose;
    database& writer = *processes[turn % processes.size()];
    database& reader = by_marks ? writer : *processes[(turn + 1) % processes.size()];
    call_options how;
    how.deadline = async::within(10s);
    how.account = account(whose);
    params change = values_of(whose);
    change.add(value);
    const auto written = co_await writer.execute(write, std::move(change), how);
    if (!by_marks) {
      const auto checked = co_await reader.execute(check, values_of(whose), how);
      if (checked.has_error()) {
        ++seen.failed;
        continue;
      }
      how.seen.lsn = static_cast<std::uint64_t>(checked->int8(0, 1));
      how.seen.timeline = static_cast<std::uint32_t>(checked->int4(0, 2));
    }
    how.read = read_from::replica;
    const auto got = co_await reader.execute(read, values_of(whose), how);
    if (written.has_error() || got.has_error()) {
      ++seen.failed;
      continue;
    }
    if (got->int8(0, 0) != value) ++seen.stale;
    if (got->boolean(0, 1)) ++seen.by_replica;
  }
}

asio::awaitable<void> all_accounts(asio::io_context& context,
                                   std::vector<std::unique_ptr<database>>& processes, std::int64_t wanted,
                                   bool by_marks, tally& seen) {
  async::gate running{context.get_executor()};
  for (std::uint8_t i = 0; i < accounts; ++i) {
    auto one = [&, i,
                inside = std::make_shared<async::gate::pass>(running.enter())]() -> asio::awaitable<void> {
      co_await write_then_read(processes, i, wanted, by_marks, seen);
      inside->operator=(async::gate::pass{});
    };
    asio::co_spawn(context, std::move(one), asio::detached);
  }
  co_await running.close();
}

std::uint64_t sum(const std::vector<std::unique_ptr<database>>& processes,
                  std::uint64_t statistics::* member) {
  std::uint64_t total = 0;
  for (const auto& one : processes) total += one->stats().*member;
  return total;
}

TEST_F(replicas_pg, what_one_process_wrote_no_other_process_reads_stale_and_the_primary_is_spared) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    std::vector<std::unique_ptr<database>> processes;
    for (int i = 0; i < 3; ++i) processes.push_back(make(context));
    for (const auto& one : processes) co_await start(context, *one);

    tally seen;
    co_await all_accounts(context, processes, rounds(), false, seen);

    EXPECT_EQ(seen.stale, 0);
    EXPECT_EQ(seen.failed, 0);
    EXPECT_GT(seen.by_replica, seen.rounds / 2)
        << "fallbacks " << sum(processes, &statistics::replica_fallbacks);
    EXPECT_EQ(sum(processes, &statistics::replica_reads), static_cast<std::uint64_t>(seen.by_replica));
    RecordProperty("rounds", std::to_string(seen.rounds));
    RecordProperty("by_replica", std::to_string(seen.by_replica));
    for (const auto& one : processes) co_await one->close(async::within(2s));
  });
}

TEST_F(replicas_pg, by_its_own_marks_alone_a_process_never_reads_its_writes_stale) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    std::vector<std::unique_ptr<database>> processes;
    processes.push_back(make(context));
    co_await start(context, *processes.front());

    tally seen;
    co_await all_accounts(context, processes, rounds() / 3, true, seen);

    EXPECT_EQ(seen.stale, 0);
    EXPECT_EQ(seen.failed, 0);
    EXPECT_GT(seen.by_replica, 0);
    co_await processes.front()->close(async::within(2s));
  });
}

TEST_F(replicas_pg, a_paused_and_a_killed_standby_make_nobody_wait_or_read_stale) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    std::vector<std::unique_ptr<database>> processes;
    for (int i = 0; i < 2; ++i) processes.push_back(make(context));
    for (const auto& one : processes) co_await start(context, *one);

    tally seen;
    nodes->sql(2, "SELECT pg_wal_replay_pause()");
    // Rounds go on until both processes have noticed: a paused standby falls behind only while others write.
    std::int64_t wanted = rounds() / 3;
    do {
      co_await all_accounts(context, processes, wanted, false, seen);
      wanted = seen.rounds + 100;
    } while (sum(processes, &statistics::replicas_admitted) > 2);
    EXPECT_GT(seen.by_replica, 0) << "the other one serves";

    nodes->crash(3);
    const std::int64_t before = seen.by_replica;
    co_await all_accounts(context, processes, seen.rounds + rounds() / 3, false, seen);
    EXPECT_EQ(seen.by_replica, before);
    EXPECT_EQ(sum(processes, &statistics::replicas_admitted), 0U);

    nodes->sql(2, "SELECT pg_wal_replay_resume()");
    nodes->start(3);
    EXPECT_TRUE(
        co_await eventually(context, [&] { return sum(processes, &statistics::replicas_admitted) == 4; }));
    co_await all_accounts(context, processes, seen.rounds + rounds() / 3, false, seen);
    EXPECT_GT(seen.by_replica, before);

    EXPECT_EQ(seen.stale, 0);
    EXPECT_EQ(seen.failed, 0);
    EXPECT_GE(sum(processes, &statistics::replica_ejections), 4U);
    for (const auto& one : processes) co_await one->close(async::within(2s));
  });
}

TEST_F(replicas_pg, a_replica_that_is_no_standby_is_never_used) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    config how = settings();
    how.replicas = {nodes->where(1)};
    database one{context, how, all_statements};
    EXPECT_TRUE((co_await one.start(async::within(10s))).has_value());
    call_options options = within(5s);
    options.read = read_from::replica;

    for (int i = 0; i < 50; ++i) {
      const auto got = co_await one.execute(read, values_of(1), options);
      EXPECT_TRUE(got.has_value());
    }

    EXPECT_EQ(one.stats().replicas_admitted, 0U);
    EXPECT_EQ(one.stats().replica_reads, 0U);
    co_await one.close(async::within(2s));
  });
}

TEST_F(replicas_pg, without_any_replica_up_reads_are_the_primarys) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    config how = settings();
    how.replicas = {nodes->where(9)};
    database one{context, how, all_statements};
    EXPECT_TRUE((co_await one.start(async::within(10s))).has_value());
    call_options options = within(5s);
    options.read = read_from::replica;

    EXPECT_TRUE((co_await one.execute(read, values_of(1), options)).has_value());

    EXPECT_EQ(one.stats().replica_fallbacks, 1U);
    co_await one.close(async::within(2s));
  });
}

/// The shards of one process: they share what they know.
class shards_pg : public replicas_pg {
 protected:
  static std::vector<std::unique_ptr<database>> make_shards(asio::io_context& context, config how,
                                                            replica_watch& shared, std::size_t count) {
    how.watch = &shared;
    std::vector<std::unique_ptr<database>> shards;
    for (std::size_t i = 0; i < count; ++i)
      shards.push_back(std::make_unique<database>(context, how, all_statements));
    return shards;
  }
  static asio::awaitable<void> close_all(std::vector<std::unique_ptr<database>>& shards) {
    for (const auto& one : shards) co_await one->close(async::within(2s));
  }
  /// Looks a second at a node while nobody reads or writes, as its own counter of statements has them.
  static asio::awaitable<double> looks_a_second(asio::io_context& context, int node,
                                                const std::string& statement) {
    const std::string count =
        "SELECT coalesce(sum(calls), 0)::text FROM pg_stat_statements WHERE query LIKE '" + statement + "'";
    const auto before = std::stod(nodes->value(node, count));
    const auto began = std::chrono::steady_clock::now();
    asio::steady_timer span{context, 2s};
    co_await span.async_wait(async::tuple_await);
    const auto after = std::stod(nodes->value(node, count));
    co_return (after - before) /
        std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  static constexpr const char* of_replicas = "SELECT CASE WHEN pg_catalog.pg_is_in_recovery%";
  static constexpr const char* of_primary = "%pg_current_wal_flush_lsn() AS f";
};

TEST_F(shards_pg, of_one_process_look_as_often_as_one_alone) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    replica_watch shared{2};
    auto shards = make_shards(context, settings(), shared, 6);
    for (const auto& one : shards) co_await start(context, *one);

    // Twenty a second, whatever the number of shards.
    for (const int node : {2, 3}) {
      const double looks = co_await looks_a_second(context, node, of_replicas);
      EXPECT_LE(looks, 22) << "node " << node;
      EXPECT_GE(looks, 8) << "node " << node;
      std::cout << "  node " << node << ": " << looks << " looks a second of 6 shards\n";
    }
    const double looks = co_await looks_a_second(context, 1, of_primary);
    EXPECT_LE(looks, 22);
    EXPECT_GE(looks, 8);
    std::cout << "  primary: " << looks << " looks a second of 6 shards\n";
    EXPECT_EQ(sum(shards, &statistics::replicas_admitted), 12U);
    co_await close_all(shards);
  });
}

TEST_F(shards_pg, of_one_process_never_read_stale) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    replica_watch shared{2};
    auto shards = make_shards(context, settings(), shared, 3);
    for (const auto& one : shards) co_await start(context, *one);

    tally seen;
    co_await all_accounts(context, shards, rounds() / 2, false, seen);
    co_await all_accounts(context, shards, seen.rounds + rounds() / 2, true, seen);

    EXPECT_EQ(seen.stale, 0);
    EXPECT_EQ(seen.failed, 0);
    EXPECT_GT(seen.by_replica, seen.rounds / 3);
    co_await close_all(shards);
  });
}

TEST_F(shards_pg, of_one_process_go_on_when_the_one_that_looked_has_left) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    replica_watch shared{2};
    auto shards = make_shards(context, settings(), shared, 2);
    for (const auto& one : shards) co_await start(context, *one);

    co_await shards.front()->close(async::within(2s));
    shards.erase(shards.begin());
    asio::steady_timer longer_than_a_replica_may_be_silent{context, 1500ms};
    co_await longer_than_a_replica_may_be_silent.async_wait(async::tuple_await);

    EXPECT_EQ(shards.front()->stats().replicas_admitted, 2U);
    EXPECT_EQ(shards.front()->stats().replica_ejections, 0U);
    co_await close_all(shards);
  });
}

TEST_F(shards_pg, of_one_process_knock_once_an_interval_at_a_replica_that_is_away) {
  run_on_shard([](asio::io_context& context) -> asio::awaitable<void> {
    stalling_proxy door{context, nodes->socket_file(2)};
    config how = settings();
    how.replicas = {door.where()};
    replica_watch shared{1};
    auto shards = make_shards(context, how, shared, 6);
    for (const auto& one : shards) co_await start(context, *one, 1);
    door.set(stalling_proxy::mode::refuse);
    EXPECT_TRUE(
        co_await eventually(context, [&] { return sum(shards, &statistics::replicas_admitted) == 0; }));
    const std::size_t before = door.attempts();
    const auto began = std::chrono::steady_clock::now();

    asio::steady_timer span{context, 2s};
    co_await span.async_wait(async::tuple_await);

    // Five times probe_interval, which is 20 ms here: ten a second.
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    const auto knocks = static_cast<double>(door.attempts() - before);
    std::cout << "  " << knocks << " attempts of 6 shards in " << seconds << " s\n";
    EXPECT_LE(knocks, 10 * seconds + 6) << "of each shard one may have been under way";
    EXPECT_GE(knocks, 2 * seconds);

    door.set(stalling_proxy::mode::forward);
    EXPECT_TRUE(
        co_await eventually(context, [&] { return sum(shards, &statistics::replicas_admitted) == 6; }));
    co_await close_all(shards);
  });
}

}  // namespace
}  // namespace pam::db
