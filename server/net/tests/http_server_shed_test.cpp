// A server with all its connections open, turned by hand: what it does without being asked is counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include <boost/asio/io_context.hpp>

#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"

namespace pam::net::test {
namespace {

using namespace std::chrono_literals;

/// Turns of an event loop that has nothing to do but ticks of its timer wheel, four a second.
constexpr std::size_t few_turns = 20;

class full_server : public ::testing::Test {
 protected:
  /// Of two connections, both open.
  void fill(std::chrono::milliseconds grace) {
    limits bounds;
    bounds.connections = 2;
    bounds.full_grace = grace;
    listener_config where;
    where.port = 0;
    server = std::make_unique<http_server>(context, where, bounds, nullptr, service);
    server->listen().value();
    server->start();
    for (int i = 0; i < 2; ++i) served.push_back(std::make_unique<client>(server->port()));
    ASSERT_TRUE(run_until([this] { return server->stats().accept_paused == 1; }));
  }

  bool run_until(const std::function<bool()>& condition) {
    const auto end = std::chrono::steady_clock::now() + 10s;
    while (!condition()) {
      if (std::chrono::steady_clock::now() > end) return false;
      context.run_one_for(10ms);
    }
    return true;
  }

  boost::asio::io_context context{1};
  test_service service{context};
  std::unique_ptr<http_server> server;
  std::vector<std::unique_ptr<client>> served;
};

TEST_F(full_server, resets_what_waits_and_serves_on) {
  fill(0ms);
  client third(server->port());

  ASSERT_TRUE(run_until([this] { return server->stats().shed == 1; }));

  EXPECT_TRUE(third.is_closed_by_server());
  served[0]->send("GET /at-once/1 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until([this] { return server->stats().bytes_out > 0; }));
  EXPECT_EQ(served[0]->read_answer().body, "at once /at-once/1");
  EXPECT_EQ(server->stats().accepted, 2u);
  EXPECT_EQ(server->stats().open, 2u);
}

TEST_F(full_server, accepts_again_as_soon_as_there_is_room) {
  fill(0ms);
  client third(server->port());
  ASSERT_TRUE(run_until([this] { return server->stats().shed == 1; }));
  served[0]->reset();
  ASSERT_TRUE(run_until([this] { return server->stats().open == 1; }));

  client fourth(server->port());
  fourth.send("GET /at-once/4 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(run_until([this] { return server->stats().bytes_out > 0; }));

  EXPECT_EQ(fourth.read_answer().body, "at once /at-once/4");
  EXPECT_EQ(server->stats().shed, 1u);
}

TEST_F(full_server, resets_what_waits_when_the_grace_is_over_without_another_arrival) {
  fill(50ms);
  client third(server->port());

  ASSERT_TRUE(run_until([this] { return server->stats().shed == 1; }));

  EXPECT_TRUE(third.is_closed_by_server());
}

TEST_F(full_server, leaves_others_their_turn_between_batches) {
  constexpr std::size_t count = 200;
  fill(0ms);
  std::deque<client> waiting;
  for (std::size_t i = 0; i < count; ++i) waiting.emplace_back(server->port());
  std::size_t most = 0;

  const bool is_done = run_until([this, &most, before = std::size_t{0}]() mutable {
    const std::size_t shed = server->stats().shed;
    most = std::max(most, shed - before);
    before = shed;
    return shed == count;
  });

  EXPECT_TRUE(is_done);
  EXPECT_LE(most, 64u);
}

TEST_F(full_server, does_nothing_while_what_waits_has_its_grace) {
  fill(1h);
  client third(server->port());

  EXPECT_LE(context.run_for(100ms), few_turns);

  EXPECT_EQ(server->stats().shed, 0u);
}

TEST_F(full_server, does_nothing_while_nobody_waits) {
  fill(0ms);
  client third(server->port());
  ASSERT_TRUE(run_until([this] { return server->stats().shed == 1; }));

  EXPECT_LE(context.run_for(100ms), few_turns);
}

TEST_F(full_server, tells_of_it_once) {
  fill(0ms);
  EXPECT_EQ(service.told_of_shedding.size(), 0u) << "nobody was sent away yet";
  for (std::size_t i = 1; i <= 3; ++i) {
    client another(server->port());
    ASSERT_TRUE(run_until([this, i] { return server->stats().shed == i; }));
  }
  served[0]->reset();
  ASSERT_TRUE(run_until([this] { return server->stats().open == 1; }));
  client fourth(server->port());
  client fifth(server->port());
  ASSERT_TRUE(run_until([this] { return server->stats().shed == 4; }));

  EXPECT_EQ(service.told_of_shedding, std::vector<std::size_t>{2}) << "nor again within a minute";
}

}  // namespace
}  // namespace pam::net::test
