// Finding out what stands in between.
#include "db/database.hpp"

#include <array>
#include <chrono>

#include <gtest/gtest.h>

#include "db/tests/database_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

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
