// Who is in goes before who comes.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"
#include "server/net/tests/test_certificate.hpp"
#include "server/net/tls.hpp"

namespace pam::net::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view request = "GET /at-once/x HTTP/1.1\r\nHost: a\r\n\r\n";

/// A client in the middle of its handshake.
struct newcomer {
  explicit newcomer(std::uint16_t port) : peer(port) {}

  void say_hello() {
    SSL_do_handshake(side.ssl());
    peer.send(side.bytes());
  }
  /// Whether the handshake succeeds.
  bool finish() {
    while (SSL_do_handshake(side.ssl()) != 1) {
      const std::string got = peer.read_some();
      if (got.empty()) return false;
      side.receive(got);
    }
    peer.send(side.bytes());
    return true;
  }

  client peer;
  by_hand side;
};

class newcomers : public ::testing::Test {
 protected:
  /// Connected and accepted, and nothing more.
  void come(running_server& server, std::size_t count) {
    const std::uint64_t before = server.stats().accepted;
    for (std::size_t i = 0; i < count; ++i) coming.push_back(std::make_unique<newcomer>(server.port()));
    ASSERT_TRUE(eventually([&] { return server.stats().accepted == before + count; }));
  }
  void all_say_hello() {
    for (const auto& each : coming) each->say_hello();
  }
  [[nodiscard]] std::size_t answered() const {
    return static_cast<std::size_t>(
        std::count_if(coming.begin(), coming.end(), [](const auto& each) { return each->peer.has_bytes(); }));
  }
  /// From now on `answered_before` is taken at each request.
  void watch(running_server& server) {
    server.on_shard([&] { server.service().on_request_at_once = [this] { answered_before = answered(); }; });
  }
  void all_come_in(running_server& server) {
    const std::uint64_t before = server.stats().handshakes;
    for (const auto& each : coming) EXPECT_TRUE(each->finish());
    EXPECT_TRUE(eventually([&] { return server.stats().handshakes == before + coming.size(); }));
  }

  temporary_folder folder;
  const tls_context context = tls_context::load(make_certificate(folder, "a", "a")).value();
  std::vector<std::unique_ptr<newcomer>> coming;
  std::size_t answered_before = 0;  ///< newcomers, when the last request was served
};

TEST_F(newcomers, who_is_in_is_served_before_a_herd_that_came_first) {
  running_server server({}, &context);
  client in(server.port(), tls_wishes{});
  come(server, 100);
  watch(server);

  auto held = server.hold_shard();
  all_say_hello();
  in.send(request);
  held.set_value();

  EXPECT_EQ(in.read_answer().status, 200u);
  EXPECT_EQ(answered_before, 0u);
  all_come_in(server);
}

TEST_F(newcomers, who_comes_is_let_in_while_everybody_else_is_busy) {
  running_server server({}, &context);
  std::vector<std::unique_ptr<client>> in;
  // More than are served in one turn.
  for (int i = 0; i < 200; ++i) in.push_back(std::make_unique<client>(server.port(), tls_wishes{}));
  ASSERT_TRUE(eventually([&] { return server.stats().handshakes == in.size(); }));
  come(server, 20);
  watch(server);

  auto held = server.hold_shard();
  for (const auto& each : in) each->send(request);
  all_say_hello();
  held.set_value();

  for (const auto& each : in) EXPECT_EQ(each->read_answer().status, 200u);
  EXPECT_GT(answered_before, 0u);
  EXPECT_LT(answered_before, coming.size());
  all_come_in(server);
}

TEST_F(newcomers, the_time_limit_of_a_handshake_is_not_for_the_wait_here) {
  limits bounds;
  bounds.handshake = 1s;
  running_server server(bounds, &context);
  come(server, 20);

  auto held = server.hold_shard();
  all_say_hello();
  const auto over = std::chrono::steady_clock::now() + bounds.handshake + 1s;  // ticks included
  ASSERT_TRUE(eventually([&] { return std::chrono::steady_clock::now() > over; }));
  held.set_value();

  all_come_in(server);
  EXPECT_EQ(server.stats().timed_out_handshake, 0u);
}

// A whole hello, but nobody who reads what is signed for it.
TEST_F(newcomers, who_left_before_his_turn_costs_no_handshake) {
  running_server server({}, &context);
  come(server, 20);

  auto held = server.hold_shard();
  all_say_hello();
  for (const auto& each : coming) each->peer.shutdown_sending();
  held.set_value();

  EXPECT_TRUE(eventually([&] { return server.stats().open == 0; }));
  EXPECT_EQ(server.stats().handshakes_failed, coming.size());
  for (const auto& each : coming) EXPECT_EQ(each->peer.read_some(), "");
}

// Neither half a hello, whose bytes stay in the socket, nor a silence after it is a wait for our turn.
TEST_F(newcomers, who_does_not_do_his_part_is_cut_for_all_that) {
  limits bounds;
  bounds.handshake = 300ms;
  running_server server(bounds, &context);
  come(server, 2);

  SSL_do_handshake(coming[0]->side.ssl());
  const std::string hello = coming[0]->side.bytes();
  coming[0]->peer.send(hello.substr(0, hello.size() / 2));
  coming[1]->say_hello();

  EXPECT_TRUE(eventually([&] { return server.stats().timed_out_handshake == 2; }));
  EXPECT_EQ(server.stats().open, 0u);
}

TEST(newcomers_by_proxy, are_answered_in_plaintext_and_keep_their_connection) {
  listener_config where;
  where.address = "127.0.0.1";
  where.port = 0;
  where.is_tls = false;
  where.trusted_proxies = {"127.0.0.0/8"};
  where.proxy_protocol = "required";
  running_server server(where, limits{});
  client peer(server.port());

  peer.send("PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n");
  peer.send(request);

  EXPECT_EQ(peer.read_answer().status, 200u);
  EXPECT_EQ(peer.get("/hello").status, 200u);
}

}  // namespace
}  // namespace pam::net::test
