#include "db/detail/lease_pool.hpp"

#include <chrono>
#include <memory>
#include <optional>

#include <gtest/gtest.h>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace pam::db::detail {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

// Connections that lead nowhere: the pool closes them when they come back.
lease_pool::opener opener_of(asio::io_context& context) {
  return [&context](async::deadline) -> asio::awaitable<result<std::shared_ptr<pg_session>>> {
    co_return std::make_shared<pg_session>(context);
  };
}

void settle(asio::io_context& context) {
  context.restart();
  context.poll();
}

TEST(lease_pool, a_caller_that_leaves_when_its_turn_has_come_leaves_the_place_to_others) {
  asio::io_context context{1};
  const auto pool =
      std::make_shared<lease_pool>(context, 1, 4, opener_of(context), std::make_shared<canceller>(context));
  std::optional<result<lease>> first;
  std::optional<result<lease>> third;
  const auto keep = [](std::optional<result<lease>>& into) {
    return [&into](std::exception_ptr, result<lease> got) { into.emplace(std::move(got)); };
  };
  asio::co_spawn(context, pool->acquire(async::within(5s)), keep(first));
  settle(context);
  ASSERT_TRUE(first && first->has_value());
  asio::cancellation_signal leave;
  bool has_left = false;
  auto on_end = [&](std::exception_ptr failure, const result<lease>&) { has_left = failure != nullptr; };
  asio::co_spawn(context, pool->acquire(async::within(5s)),
                 asio::bind_cancellation_slot(leave.slot(), on_end));
  settle(context);
  ASSERT_EQ(pool->waiters(), 1U);

  auto give_back_and_leave = [&] {  // on the shard, so that nothing happens in between
    first.reset();
    leave.emit(asio::cancellation_type::terminal);
  };
  asio::post(context, give_back_and_leave);
  settle(context);
  ASSERT_TRUE(has_left);
  asio::co_spawn(context, pool->acquire(async::within(100ms)), keep(third));
  context.restart();
  context.run_for(1s);

  ASSERT_TRUE(third);
  EXPECT_TRUE(third->has_value()) << third->error().detail;
}

}  // namespace
}  // namespace pam::db::detail
