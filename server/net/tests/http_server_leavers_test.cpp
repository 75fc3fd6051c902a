// Who is in goes before who leaves.
#include <gtest/gtest.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"

namespace pam::net::test {
namespace {

constexpr std::string_view request = "GET /at-once/x HTTP/1.1\r\nHost: a\r\n\r\n";
/// More than four turns of the server's loop.
constexpr std::size_t crowd = 600;

/// How it is that they leave.
using farewell = void (*)(client& of);

class leavers : public ::testing::TestWithParam<farewell> {
 protected:
  void come(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) leaving.push_back(std::make_unique<client>(server.port()));
    ASSERT_TRUE(eventually([&] { return server.stats().open == count + 1; }));
  }

  running_server server;
  client in{server.port()};
  std::vector<std::unique_ptr<client>> leaving;
};

TEST_P(leavers, a_request_does_not_wait_for_all_who_left_before_it) {
  come(crowd);
  std::uint64_t open = 0;
  server.on_shard([&] { server.service().on_request_at_once = [&] { open = server.stats().open; }; });

  auto held = server.hold_shard();
  for (const auto& each : leaving) GetParam()(*each);
  in.send(request);
  held.set_value();

  EXPECT_EQ(in.read_answer().status, 200u);
  EXPECT_GT(open, crowd / 2);
  EXPECT_TRUE(eventually([&] { return server.stats().open == 1; }));
  EXPECT_EQ(in.get("/hello").status, 200u);
}

// Nothing else wakes the loop: those who wait for their turn do.
TEST_P(leavers, all_are_gone_without_another_event) {
  come(crowd);

  auto held = server.hold_shard();
  for (const auto& each : leaving) GetParam()(*each);
  held.set_value();

  EXPECT_TRUE(eventually([&] { return server.stats().open == 1; }));
}

// A client that sends FIN behind its request waits for the answer all the same (RFC 9112 section 9.6).
TEST_P(leavers, a_request_before_the_end_is_answered_after_the_wait) {
  come(crowd);
  client last(server.port());
  ASSERT_TRUE(eventually([&] { return server.stats().open == crowd + 2; }));

  auto held = server.hold_shard();
  for (const auto& each : leaving) GetParam()(*each);
  last.send(request);
  last.shutdown_sending();
  held.set_value();

  EXPECT_EQ(last.read_answer().status, 200u);
  EXPECT_TRUE(last.is_closed_by_server());
  EXPECT_TRUE(eventually([&] { return server.stats().open == 1; }));
}

// Its bytes are less than there is room for, so that the end behind them is not read at once: only epoll
// tells.
TEST_P(leavers, half_a_request_before_the_end_does_not_wait_for_its_time_limit) {
  come(crowd);
  client last(server.port());
  ASSERT_TRUE(eventually([&] { return server.stats().open == crowd + 2; }));

  auto held = server.hold_shard();
  for (const auto& each : leaving) GetParam()(*each);
  last.send(request.substr(0, request.size() / 2));
  last.shutdown_sending();
  held.set_value();

  EXPECT_TRUE(eventually([&] { return server.stats().open == 1; }));
  EXPECT_EQ(server.stats().timed_out_header, 0u);
}

TEST_P(leavers, a_server_may_end_while_they_wait_for_their_turn) {
  come(crowd);
  server.on_shard([&] {
    for (const auto& each : leaving) GetParam()(*each);
  });

  server.drain(std::chrono::milliseconds{0}).get();

  EXPECT_EQ(server.stats().open, 0u);
}

INSTANTIATE_TEST_SUITE_P(by, leavers,
                         ::testing::Values([](client& of) { of.shutdown_sending(); },
                                           [](client& of) { of.reset(); }),
                         [](const auto& at) { return at.index == 0 ? "fin" : "rst"; });

}  // namespace
}  // namespace pam::net::test
