// Slow, absent and too many clients. The limits are short; nothing here measures how long they take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/resource.h>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "server/net/detail/connection.hpp"
#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"
#include "server/net/tests/test_certificate.hpp"
#include "server/net/tls.hpp"

namespace pam::net::test {
namespace {

using namespace std::chrono_literals;
using ::testing::StartsWith;

static_assert(sizeof(detail::connection) <= 512, "an idle connection keeps no more of ours than this");

limits with(std::chrono::milliseconds limits::* which, std::chrono::milliseconds value) {
  limits bounds;
  bounds.*which = value;
  return bounds;
}

TEST(http_server_limits, a_slow_header_is_answered_408_and_cut) {
  running_server server(with(&limits::header, 50ms));
  client peer(server.port());

  peer.send("GET /slow HTTP/1.1\r\nHost:");

  EXPECT_EQ(peer.read_answer().status, 408u);
  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().timed_out_header, 1u);
}

TEST(http_server_limits, a_slow_body_is_answered_408_and_cut) {
  running_server server(with(&limits::body, 50ms));
  client peer(server.port());

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");

  EXPECT_EQ(peer.read_answer().status, 408u);
  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().timed_out_body, 1u);
}

TEST(http_server_limits, a_slow_request_is_cut_whatever_status_the_service_gives_it) {
  running_server server(with(&limits::header, 50ms));
  for (const unsigned status : {503u, 504u, 200u}) {
    server.on_shard([&] { server.service().refuses_with = status; });
    client peer(server.port());

    peer.send("GET /slow HTTP/1.1\r\nHost:");

    const answer got = peer.read_answer();
    EXPECT_EQ(got.status, status);
    EXPECT_EQ(got.header("Connection"), "close");
    EXPECT_TRUE(peer.is_closed_by_server());
  }
}

TEST(http_server_limits, an_idle_connection_is_closed_without_a_word) {
  running_server server(with(&limits::keep_alive, 50ms));
  client peer(server.port());
  peer.get("/hello");

  EXPECT_EQ(peer.read_some(), "");
  EXPECT_EQ(server.stats().idle_closed, 1u);
  EXPECT_EQ(server.reports().size(), 1u) << "an idle end is no request";
}

TEST(http_server_limits, a_connection_that_never_speaks_is_closed) {
  running_server server(with(&limits::keep_alive, 50ms));
  client peer(server.port());

  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().idle_closed, 1u);
}

TEST(http_server_limits, a_half_open_handshake_is_cut) {
  temporary_folder folder;
  const tls_context context = tls_context::load(make_certificate(folder, "a", "a")).value();
  running_server server(with(&limits::handshake, 50ms), &context);
  client peer(server.port());

  peer.send("\x16\x03\x01");

  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().timed_out_handshake, 1u);
}

TEST(http_server_limits, a_client_that_does_not_read_is_cut_and_reported) {
  running_server server(with(&limits::write, 50ms));
  std::vector<std::unique_ptr<client>> peers;
  peers.push_back(std::make_unique<client>(server.port(), 4096));
  // More answers than the socket buffers of both sides hold.
  for (int i = 0; i < 16; ++i) peers[0]->send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");

  ASSERT_TRUE(eventually([&] { return server.stats().timed_out_write == 1; }));
  ASSERT_TRUE(eventually([&] { return server.stats().open == 0; }));
  const auto reports = server.reports();
  ASSERT_FALSE(reports.empty());
  EXPECT_FALSE(reports.back().was_sent);
}

TEST(http_server_limits, what_a_client_does_not_read_is_bounded) {
  running_server server(with(&limits::write, 50ms));
  client peer(server.port(), 4096);

  peer.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");  // 1 MiB

  ASSERT_TRUE(eventually([&] { return server.stats().timed_out_write == 1; }));
  EXPECT_LT(server.stats().bytes_out, 256u * 1024u) << "the kernel took this much";
}

TEST(http_server_limits, a_handler_is_not_cut_by_the_connection_limits) {
  limits bounds;
  bounds.header = bounds.body = bounds.write = bounds.keep_alive = 1ms;
  running_server server(bounds);
  client peer(server.port());
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server.await_waiting();
  client other(server.port());
  ASSERT_TRUE(other.is_closed_by_server()) << "meanwhile the limits of another connection ran out";

  server.release();

  EXPECT_EQ(peer.read_answer().body, "waited");
}

TEST(http_server_limits, connections_above_the_limit_wait_in_the_backlog) {
  limits bounds;
  bounds.connections = 2;
  bounds.full_grace = 1h;
  running_server server(bounds);
  auto first = std::make_unique<client>(server.port());
  client second(server.port());
  first->get("/1");
  second.get("/2");

  client third(server.port());
  third.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(eventually([&] { return server.stats().accept_paused > 0; }));
  EXPECT_EQ(server.stats().accepted, 2u);
  first.reset();

  EXPECT_EQ(third.read_answer().body, "hello /3");
}

TEST(http_server_limits, handshakes_above_the_rate_are_only_delayed) {
  temporary_folder folder;
  const tls_context context = tls_context::load(make_certificate(folder, "a", "a")).value();
  limits bounds;
  bounds.handshakes_per_second = 50;
  running_server server(bounds, &context);

  for (int i = 0; i < 6; ++i) {
    client peer(server.port(), tls_wishes{});
    ASSERT_EQ(peer.get("/hello").status, 200u);
  }

  EXPECT_EQ(server.stats().handshakes, 6u);
}

TEST(http_server_limits, a_client_that_left_while_it_waited_for_its_handshake_costs_none) {
  temporary_folder folder;
  const tls_context context = tls_context::load(make_certificate(folder, "a", "a")).value();
  limits bounds;
  bounds.handshakes_per_second = 20;  // one at once
  running_server server(bounds, &context);
  std::promise<void> go = server.hold_shard();
  client first(server.port());
  client gone(server.port());
  gone.reset();

  go.set_value();
  client third(server.port(), tls_wishes{});

  EXPECT_EQ(third.get("/hello").status, 200u);
  EXPECT_EQ(server.stats().left_waiting, 1u);
  EXPECT_EQ(server.stats().accepted, 2u);
}

TEST(http_server_limits, accepting_goes_on_after_the_process_ran_out_of_descriptors) {
  running_server server;
  client connected(server.port());
  ASSERT_EQ(connected.get("/1").status, 200u);
  client refused;
  rlimit old{};
  ::getrlimit(RLIMIT_NOFILE, &old);
  const int lowest_free = ::dup(0);
  ::close(lowest_free);
  const rlimit full{.rlim_cur = static_cast<rlim_t>(lowest_free), .rlim_max = old.rlim_max};

  ::setrlimit(RLIMIT_NOFILE, &full);
  refused.connect(server.port());
  const bool is_shed = refused.is_closed_by_server();
  const answer meanwhile = connected.get("/2");
  ::setrlimit(RLIMIT_NOFILE, &old);
  client later(server.port());

  EXPECT_TRUE(is_shed) << "one client learns at once that there is no room";
  EXPECT_EQ(meanwhile.status, 200u) << "those who are connected are served";
  EXPECT_EQ(later.get("/3").status, 200u);
  EXPECT_GE(server.stats().accept_paused, 1u);
}

TEST(http_server_limits, clients_that_vanish_at_any_byte_leave_nothing_behind) {
  running_server server;
  const std::string request = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /next";

  for (std::size_t length = 0; length <= request.size(); ++length) {
    client polite(server.port());
    client rude(server.port());
    polite.send(std::string_view(request).substr(0, length));
    rude.send(std::string_view(request).substr(0, length));
    rude.reset();
  }

  const std::size_t clients = 2 * (request.size() + 1);
  EXPECT_TRUE(eventually([&] { return server.stats().accepted == clients && server.stats().open == 0; }));
  EXPECT_EQ(server.stats().in_flight, 0u);
  EXPECT_EQ(server.reports().size(), server.stats().requests);
}

TEST(http_server_limits, incomplete_requests_above_the_memory_limit_are_refused) {
  constexpr std::size_t first_buffer = 4 * 1024;
  limits bounds;
  bounds.incomplete_bytes = 2 * first_buffer;
  running_server server(bounds);
  const std::string begun = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
  const auto begin = [&](client& peer) {
    const auto before = server.stats().bytes_in.load();
    peer.send(begun);
    return eventually([&] { return server.stats().bytes_in == before + begun.size(); });
  };
  client first(server.port());
  client second(server.port());
  client third(server.port());
  client complete(server.port());
  client fourth(server.port());
  ASSERT_TRUE(eventually([&] { return server.stats().accepted == 5; }));
  ASSERT_TRUE(begin(first));
  ASSERT_TRUE(begin(second));

  third.send(begun);
  const answer refused = third.read_answer();
  EXPECT_TRUE(third.is_closed_by_server());
  EXPECT_EQ(complete.get("/hello").status, 200u) << "what arrives at once needs none of it";
  first.send("ok");
  EXPECT_EQ(first.read_answer().body, "ok");
  second.reset();
  third.reset();
  ASSERT_TRUE(eventually([&] { return server.stats().open == 3; }));
  ASSERT_TRUE(begin(first));
  ASSERT_TRUE(begin(fourth));
  first.send("ok");
  fourth.send("ok");

  EXPECT_EQ(refused.status, 503u);
  EXPECT_THAT(refused.body, StartsWith("over_capacity: "));
  EXPECT_EQ(first.read_answer().body, "ok");
  EXPECT_EQ(fourth.read_answer().body, "ok");
  EXPECT_EQ(server.stats().refused_memory, 1u);
}

TEST(http_server_limits, a_body_that_grows_above_the_memory_limit_is_refused) {
  limits bounds;
  bounds.incomplete_bytes = 16 * 1024;
  running_server server(bounds);
  client peer(server.port());

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\nabc");

  EXPECT_EQ(peer.read_answer().status, 503u);
  EXPECT_TRUE(peer.is_closed_by_server());
}

TEST(http_server_limits, pipelined_requests_above_the_memory_limit_are_left_to_the_client) {
  limits bounds;
  bounds.incomplete_bytes = 10;
  running_server server(bounds);
  client peer(server.port());

  peer.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");

  const answer got = peer.read_answer();
  EXPECT_EQ(got.body, "hello /1");
  EXPECT_EQ(got.header("Connection"), "close");
  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().requests, 1u);
  EXPECT_EQ(server.stats().refused_memory, 1u);
}

TEST(http_server_limits, an_incomplete_pipelined_request_counts_against_the_memory_limit) {
  limits bounds;
  bounds.incomplete_bytes = 10;
  running_server server(bounds);
  client peer(server.port());

  peer.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2");

  EXPECT_EQ(peer.read_answer().status, 200u);
  EXPECT_EQ(peer.read_answer().status, 503u);
  EXPECT_TRUE(peer.is_closed_by_server());
}

TEST(http_server_limits, refusals_have_their_own_status) {
  running_server server;
  const auto status_of = [&](const std::string& request) {
    client peer(server.port());
    peer.send(request);
    return peer.read_answer().status;
  };

  EXPECT_EQ(status_of("GET /" + std::string(20'000, 'a')), 414u);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(20'000, 'a')), 431u);
  EXPECT_EQ(status_of("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n"), 501u);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505u);
  EXPECT_EQ(status_of("GET / HTTP/1.1\nHost: a\n\n"), 400u);
  EXPECT_EQ(server.stats().refused_too_large, 2u);
  EXPECT_EQ(server.stats().refused_malformed, 3u);
}

}  // namespace
}  // namespace pam::net::test
