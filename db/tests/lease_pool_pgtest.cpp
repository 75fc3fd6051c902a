#include "db/detail/lease_pool.hpp"

#include <memory>

#include "db/tests/pg_fixture.hpp"

namespace pam::db::detail {
namespace {

using namespace db::testing;

class lease_pool_pg : public ::testing::Test {
 protected:
  lease_pool::opener opener_of(asio::io_context& context) {
    return [this, &context](async::deadline until) {
      return connect_session(context, stops, settings, settings.hosts.front(), settings.database, until);
    };
  }
  scratch_database scratch;
  config settings = config_for(ways[0], scratch.name());
  stop_list stops;
};

TEST_F(lease_pool_pg, close_waits_for_the_rollback_of_what_came_back_unfinished) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    const auto cancels = std::make_shared<canceller>(context);
    const auto pool = std::make_shared<lease_pool>(context, 1, 4, opener_of(context), cancels);
    std::weak_ptr<pg_session> session;
    {
      auto got = co_await pool->acquire(async::within(5s));
      EXPECT_TRUE(got.has_value());
      const auto begun = co_await (*got)->run_simple("BEGIN", async::within(5s));
      EXPECT_TRUE(begun.has_value());
      session = (**got).weak_from_this();
    }
    const bool is_rolling_back = !session.expired();

    co_await pool->close(async::within(5s));

    EXPECT_TRUE(is_rolling_back);
    EXPECT_TRUE(session.expired()) << "a rollback is still under way";
  });
}

TEST_F(lease_pool_pg, idle_connections_are_dropped_and_their_places_are_free) {
  run_on_shard([&](asio::io_context& context) -> asio::awaitable<void> {
    const auto cancels = std::make_shared<canceller>(context);
    const auto pool = std::make_shared<lease_pool>(context, 1, 4, opener_of(context), cancels);
    std::weak_ptr<pg_session> session;
    {
      auto got = co_await pool->acquire(async::within(5s));
      session = (**got).weak_from_this();
    }
    const bool was_kept = !session.expired();

    pool->drop_idle();

    EXPECT_TRUE(was_kept);
    EXPECT_TRUE(session.expired());
    const auto next = co_await pool->acquire(async::within(5s));
    EXPECT_TRUE(next.has_value());
  });
}

}  // namespace
}  // namespace pam::db::detail
