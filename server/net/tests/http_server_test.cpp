// The server over plain sockets: what a client sees on the wire.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"

namespace pam::net::test {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string repeated(std::string_view text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

TEST(http_server, a_connection_serves_many_requests) {
  running_server server;
  client peer(server.port());

  for (int i = 0; i < 3; ++i) {
    const answer got = peer.get("/hello");

    EXPECT_EQ(got.status, 200u);
    EXPECT_EQ(got.body, "hello /hello");
    EXPECT_EQ(got.header("Connection"), "keep-alive");
  }
  EXPECT_EQ(server.stats().accepted, 1u);
  EXPECT_EQ(server.stats().requests, 3u);
}

TEST(http_server, an_answer_carries_the_headers_the_writer_owes) {
  running_server server;
  client peer(server.port());

  const answer got = peer.get("/hello");

  EXPECT_THAT(got.head, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(got.header("Keep-Alive"), "timeout=75");
  EXPECT_EQ(got.header("X-Request-Id").size(), 26u);
  EXPECT_EQ(got.header("Date").size(), 29u);
  EXPECT_EQ(got.header("X-Content-Type-Options"), "nosniff");
  EXPECT_EQ(got.header("Cache-Control"), "no-store");
  EXPECT_EQ(got.header("Strict-Transport-Security"), "") << "means nothing without TLS";
}

TEST(http_server, pipelined_requests_are_answered_in_order) {
  running_server server;
  client peer(server.port());

  peer.send(
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
      "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");

  EXPECT_EQ(peer.read_answer().body, "hello /1");
  EXPECT_EQ(peer.read_answer().body, "abc");
  EXPECT_EQ(peer.read_answer().body, "hello /3");
}

TEST(http_server, a_pipelined_request_waits_for_the_answer_before_it) {
  running_server server;
  client peer(server.port());
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server.await_waiting();

  peer.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
  server.release();

  EXPECT_EQ(peer.read_answer().body, "waited");
  EXPECT_EQ(peer.read_answer().body, "hello /2");
}

TEST(http_server, hundreds_of_pipelined_requests_are_all_answered) {
  running_server server;
  client peer(server.port());
  std::string requests;
  for (int i = 0; i < 500; ++i) requests += "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";

  peer.send(requests);

  for (int i = 0; i < 500; ++i) ASSERT_EQ(peer.read_answer().body, "hello /" + std::to_string(i));
}

TEST(http_server, pipelined_requests_do_not_pile_up_on_the_stack) {
  running_server server;
  client peer(server.port());

  expect_flat_pipelining(server, peer);
}

TEST(http_server, a_pipelining_client_takes_turns_with_others) {
  running_server server;
  client greedy(server.port());
  client modest(server.port());
  greedy.get("/first");
  modest.get("/first");

  auto go = server.hold_shard();
  greedy.send(repeated("GET /missing/ HTTP/1.1\r\nHost: a\r\n\r\n", 50));
  modest.send("GET /modest HTTP/1.1\r\nHost: a\r\n\r\n");
  go.set_value();
  modest.read_answer();
  for (int i = 0; i < 50; ++i) greedy.read_answer();

  const auto reports = server.reports();
  const auto served = std::ranges::find(reports, "/modest", &test_service::report::path);
  EXPECT_LT(served - reports.begin(), 10) << "two came first, and at most a few of the greedy client";
}

TEST(http_server, a_pipelined_request_whose_turn_comes_after_the_end_is_dropped) {
  auto server = std::make_unique<running_server>();
  client peer(server->port());
  peer.get("/first");

  auto go = server->hold_shard();
  peer.send(repeated("GET /missing/ HTTP/1.1\r\nHost: a\r\n\r\n", 50));
  std::thread end([&] { server.reset(); });
  go.set_value();
  end.join();

  EXPECT_TRUE(peer.is_closed_by_server());
}

TEST(http_server, a_request_may_arrive_byte_by_byte) {
  running_server server;
  client peer(server.port());

  for (const char c : std::string("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok")) {
    peer.send(std::string_view(&c, 1));
  }

  EXPECT_EQ(peer.read_answer().body, "ok");
}

TEST(http_server, a_chunked_body_is_decoded) {
  running_server server;
  client peer(server.port());

  peer.send(
      "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: t\r\n\r\n");

  EXPECT_EQ(peer.read_answer().body, "abcde");
}

TEST(http_server, a_large_body_within_the_limit_arrives_whole) {
  running_server server;
  client peer(server.port());
  const std::string body(64 * 1024, 'x');

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nX-Test: kept\r\nContent-Length: 65536\r\n\r\n" + body);

  EXPECT_EQ(peer.read_answer().body, body);
  EXPECT_EQ(server.on_shard([&] { return server.service().last_header; }), "kept");
}

TEST(http_server, expect_100_continue_is_answered_before_the_body) {
  running_server server;
  client peer(server.port());

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  const answer go_on = peer.read_answer();
  peer.send("ok");

  EXPECT_EQ(go_on.status, 100u);
  EXPECT_EQ(peer.read_answer().body, "ok");
}

TEST(http_server, a_body_that_is_too_large_is_refused_without_100_continue) {
  running_server server;
  client peer(server.port());

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 65537\r\n\r\n");

  const answer got = peer.read_answer();
  EXPECT_EQ(got.status, 413u);
  EXPECT_THAT(got.body, StartsWith("request_entity_too_large: "));
  EXPECT_EQ(got.header("Connection"), "close");
}

TEST(http_server, a_refusal_reaches_a_client_that_is_still_sending) {
  running_server server;
  client peer(server.port());

  peer.send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" +
            std::string(1'000'000, 'x'));

  EXPECT_EQ(peer.read_answer().status, 413u);
  EXPECT_TRUE(peer.is_closed_by_server());
}

TEST(http_server, head_is_answered_without_a_body) {
  running_server server;
  client peer(server.port());

  peer.send("HEAD /hello HTTP/1.1\r\nHost: a\r\n\r\n");
  const answer head = peer.read_answer(true);
  const answer next = peer.get("/next");

  EXPECT_EQ(head.header("Content-Length"), "12");
  EXPECT_EQ(next.body, "hello /next");
}

TEST(http_server, no_content_has_no_length) {
  running_server server;
  client peer(server.port());

  const answer got = peer.get("/no-content");

  EXPECT_EQ(got.status, 204u);
  EXPECT_THAT(got.head, Not(HasSubstr("Content-Length")));
  EXPECT_EQ(peer.get("/next").status, 200u);
}

TEST(http_server, http_10_closes_unless_asked_to_stay) {
  running_server server;
  client closing(server.port());
  client staying(server.port());

  closing.send("GET /1 HTTP/1.0\r\n\r\n");
  staying.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");

  EXPECT_EQ(closing.read_answer().header("Connection"), "close");
  EXPECT_TRUE(closing.is_closed_by_server());
  EXPECT_EQ(staying.read_answer().header("Connection"), "keep-alive");
  EXPECT_EQ(staying.get("/2").body, "hello /2");
}

TEST(http_server, connection_close_of_either_side_ends_it_after_the_answer) {
  running_server server;
  client asking(server.port());
  client told(server.port());

  const answer asked = asking.get("/hello", "Connection: close\r\n");
  const answer closed = told.get("/close");

  EXPECT_EQ(asked.header("Connection"), "close");
  EXPECT_TRUE(asking.is_closed_by_server());
  EXPECT_EQ(closed.header("Connection"), "close");
  EXPECT_TRUE(told.is_closed_by_server());
}

TEST(http_server, a_client_that_ends_its_sending_still_gets_the_answer) {
  running_server server;
  client peer(server.port());
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server.await_waiting();

  peer.shutdown_sending();
  server.release();

  EXPECT_EQ(peer.read_answer().body, "waited");
}

// One event tells of all of it: nothing later would tell of what a read left. The first read of a request has
// room for 4 KiB (request_reader::first_capacity).
TEST(http_server, a_request_that_fills_the_first_read_hides_none_behind_it) {
  running_server server;
  client peer(server.port());
  peer.get("/first");
  std::string filling = "GET /2 HTTP/1.1\r\nHost: a\r\nX-Test: ";
  filling += std::string(4 * 1024 - filling.size() - 4, 'x') + "\r\n\r\n";

  auto go = server.hold_shard();
  peer.send(filling + "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n");
  go.set_value();

  EXPECT_EQ(peer.read_answer().body, "hello /2");
  EXPECT_EQ(peer.read_answer().body, "hello /3");
}

TEST(http_server, a_request_and_the_end_behind_it_may_arrive_together) {
  running_server server;
  client peer(server.port());
  peer.get("/first");

  auto go = server.hold_shard();
  peer.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
  peer.shutdown_sending();
  go.set_value();

  EXPECT_EQ(peer.read_answer().body, "hello /last");
  EXPECT_TRUE(peer.is_closed_by_server());
}

TEST(http_server, an_upgrade_is_ignored) {
  running_server server;
  client peer(server.port());

  EXPECT_EQ(peer.get("/hello", "Connection: Upgrade\r\nUpgrade: h2c\r\n").status, 200u);
}

TEST(http_server, an_absolute_target_is_split_like_any_other) {
  running_server server;
  client peer(server.port());

  peer.send("GET http://other/path?q=1 HTTP/1.1\r\nHost: other\r\n\r\n");

  EXPECT_EQ(peer.read_answer().body, "hello /path");
  EXPECT_EQ(server.on_shard([&] { return server.service().last_query; }), "q=1");
}

TEST(http_server, an_exception_of_a_handler_is_a_bare_500_and_the_end) {
  running_server server;
  client peer(server.port());

  const answer got = peer.get("/throw");

  EXPECT_EQ(got.status, 500u);
  EXPECT_EQ(got.body, "");
  EXPECT_EQ(got.header("Connection"), "close");
  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().handler_exceptions, 1u);
}

TEST(http_server, an_answer_at_once_is_one_like_any_other) {
  running_server server;
  client peer(server.port());
  peer.get("/at-once/first");
  std::string requests;
  for (int i = 0; i < 200; ++i)
    requests += "GET /at-once/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";

  peer.send(requests + "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");

  for (int i = 0; i < 200; ++i) ASSERT_EQ(peer.read_answer().body, "at once /at-once/" + std::to_string(i));
  EXPECT_EQ(peer.read_answer().body, "hello /last");
  EXPECT_EQ(server.reports().size(), 202u);
  EXPECT_EQ(server.stats().in_flight, 0u);
  constexpr std::uintptr_t few_frames = 16 * 1024;
  EXPECT_LT(server.service().highest_stack - server.service().lowest_stack, few_frames);
}

TEST(http_server, an_exception_of_an_answer_at_once_is_a_bare_500_and_the_end) {
  running_server server;
  client peer(server.port());

  const answer got = peer.get("/at-once-throw");

  EXPECT_EQ(got.status, 500u);
  EXPECT_EQ(got.body, "");
  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().handler_exceptions, 1u);
}

TEST(http_server, a_malformed_request_is_refused_by_the_service_and_reported) {
  running_server server;
  client peer(server.port());

  peer.send("GET /x HTTP/1.1\r\n\r\n");
  const answer got = peer.read_answer();

  EXPECT_EQ(got.status, 400u);
  EXPECT_THAT(got.body, HasSubstr("Host"));
  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(server.stats().refused_malformed, 1u);
  const auto reports = server.reports();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].status, 400u);
  EXPECT_TRUE(reports[0].was_sent);
}

TEST(http_server, a_peer_lost_while_its_handler_runs_is_reported_as_not_sent) {
  running_server server;
  client peer(server.port());
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server.await_waiting();

  peer.reset();
  server.release();

  ASSERT_TRUE(eventually([&] { return server.stats().open == 0; }));
  const auto reports = server.reports();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_FALSE(reports[0].was_sent);
  EXPECT_EQ(server.stats().in_flight, 0u);
}

TEST(http_server, a_large_answer_reaches_a_reader_with_a_small_window) {
  running_server server;
  client peer(server.port(), 4096);

  const answer got = peer.get("/big");

  EXPECT_EQ(got.body, std::string(1024 * 1024, 'b'));
  EXPECT_EQ(peer.get("/next").body, "hello /next");
}

TEST(http_server, a_shared_document_arrives_whole_and_stays_as_it_is) {
  running_server server;
  client slow(server.port(), 4096);
  client fast(server.port());
  slow.send("GET /document HTTP/1.1\r\nHost: a\r\n\r\nGET /document HTTP/1.1\r\nHost: a\r\n\r\n");

  const answer meanwhile = fast.get("/document");
  const answer first = slow.read_answer();
  const answer second = slow.read_answer();

  const std::string whole = *numbered_document();
  EXPECT_TRUE(meanwhile.body == whole);
  EXPECT_TRUE(first.body == whole);
  EXPECT_TRUE(second.body == whole);
  EXPECT_EQ(slow.get("/next").body, "hello /next");
}

TEST(http_server, who_does_not_read_a_document_shares_it_and_gives_it_back) {
  running_server server;
  const std::weak_ptr<const std::string> document = server.service().document;
  const auto holders = [&] { return server.on_shard([&] { return document.use_count(); }); };
  const long before = holders();
  std::vector<std::unique_ptr<client>> readers;
  for (int i = 0; i < 3; ++i) {
    readers.push_back(std::make_unique<client>(server.port(), 4096));
    readers.back()->send("GET /document HTTP/1.1\r\nHost: a\r\n\r\n");
  }

  EXPECT_TRUE(eventually([&] { return holders() == before + 3; }));
  readers[0]->reset();
  EXPECT_EQ(readers[1]->read_answer().body.size(), document.lock()->size());
  EXPECT_TRUE(eventually([&] { return holders() == before + 1; }));
}

TEST(http_server, destroying_a_server_with_a_running_handler_is_safe) {
  auto server = std::make_unique<running_server>();
  client peer(server->port());
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server->await_waiting();

  server.reset();

  EXPECT_TRUE(peer.is_closed_by_server());
}

TEST(http_server, a_port_in_use_is_explained) {
  running_server server;
  boost::asio::io_context context;
  test_service service(context);
  listener_config where;
  where.port = server.port();
  where.reuse_port = false;
  http_server second(context, where, {}, nullptr, service);

  const auto outcome = second.listen();

  ASSERT_TRUE(outcome.has_error());
  EXPECT_TRUE(outcome.error().address_in_use);
  EXPECT_THAT(outcome.error().message, HasSubstr(std::to_string(server.port())));
}

TEST(http_server, a_name_instead_of_an_address_is_explained) {
  boost::asio::io_context context;
  test_service service(context);
  listener_config where;
  where.address = "localhost";
  http_server server(context, where, {}, nullptr, service);

  const auto outcome = server.listen();

  ASSERT_TRUE(outcome.has_error());
  EXPECT_THAT(outcome.error().message, HasSubstr("127.0.0.1"));
}

TEST(http_server, the_unspecified_ipv6_address_serves_ipv4_too) {
  running_server server({}, nullptr, "::");
  client peer(server.port());

  EXPECT_EQ(peer.get("/hello").status, 200u);
}

}  // namespace
}  // namespace pam::net::test
