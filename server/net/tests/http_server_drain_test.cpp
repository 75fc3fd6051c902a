// The end of a server: what is still served, what is cut, and when.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <future>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "server/net/http_server.hpp"
#include "server/net/tests/server_fixture.hpp"

namespace pam::net::test {
namespace {

using namespace std::chrono_literals;

/// Descriptor of the socket of this process that listens on `port`, or -1.
int listener_at(std::uint16_t port) {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    int listens = 0;
    socklen_t size = sizeof(listens);
    sockaddr_in bound{};
    if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
    size = sizeof(bound);
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
    if (ntohs(bound.sin_port) == port) return fd;
  }
  return -1;
}

/// Whether an epoll set of this process holds the socket, under whichever descriptor it came in.
bool is_watched(int socket) {
  struct stat found{};
  ::fstat(socket, &found);
  std::ostringstream member;
  member << " ino:" << std::hex << found.st_ino << ' ';
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fdinfo")) {
    std::ifstream file(entry.path());
    const std::string text(std::istreambuf_iterator<char>(file), {});
    if (text.find("tfd:") != std::string::npos && text.find(member.str()) != std::string::npos) return true;
  }
  return false;
}

TEST(http_server_drain, drain_lets_a_running_request_finish_and_refuses_new_connections) {
  running_server server;
  client peer(server.port());
  peer.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  server.await_waiting();

  auto drained = server.drain(30s);
  client late(server.port());
  server.release();
  const answer got = peer.read_answer();

  EXPECT_FALSE(late.is_connected());
  EXPECT_EQ(got.body, "waited");
  EXPECT_EQ(got.header("Connection"), "close");
  peer.reset();
  EXPECT_EQ(drained.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(server.stats().open, 0u);
}

TEST(http_server_drain, an_idle_connection_is_served_once_more_while_draining) {
  running_server server;
  client peer(server.port());
  peer.get("/first");

  auto drained = server.drain(30s);
  const answer got = peer.get("/second");

  EXPECT_EQ(got.body, "hello /second");
  EXPECT_EQ(got.header("Connection"), "close");
  peer.reset();
  EXPECT_EQ(drained.wait_for(10s), std::future_status::ready);
}

TEST(http_server_drain, drain_closes_idle_connections_when_their_promise_ends) {
  limits bounds;
  bounds.keep_alive = 100ms;
  running_server server(bounds);
  client peer(server.port());
  peer.get("/first");

  auto drained = server.drain(30s);

  EXPECT_TRUE(peer.is_closed_by_server());
  EXPECT_EQ(drained.wait_for(10s), std::future_status::ready);
}

TEST(http_server_drain, drain_cuts_what_is_left_at_its_deadline) {
  running_server server;
  client idle(server.port());
  client half(server.port());
  idle.get("/first");
  half.send("GET /half");
  ASSERT_TRUE(eventually([&] { return server.stats().open == 2; }));

  auto drained = server.drain(50ms);

  EXPECT_EQ(drained.wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(idle.is_closed_by_server());
  EXPECT_TRUE(half.is_closed_by_server());
}

TEST(http_server_drain, a_second_drain_with_an_earlier_deadline_brings_the_cut_forward) {
  running_server server;
  client idle(server.port());
  idle.get("/first");
  auto first = server.drain(60s);

  auto second = server.drain(50ms);

  EXPECT_EQ(second.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(first.wait_for(10s), std::future_status::ready);
  EXPECT_TRUE(idle.is_closed_by_server());
}

TEST(http_server_drain, a_second_drain_with_a_later_deadline_does_not_put_the_cut_off) {
  running_server server;
  client idle(server.port());
  idle.get("/first");
  auto first = server.drain(100ms);

  auto second = server.drain(60s);

  EXPECT_EQ(first.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(second.wait_for(10s), std::future_status::ready);
}

TEST(http_server_drain, a_drain_after_the_end_keeps_nothing_busy) {
  boost::asio::io_context context;
  test_service service(context);
  listener_config where;
  where.port = 0;
  http_server server(context, where, {}, nullptr, service);
  server.listen().value();
  server.start();

  for (int i = 0; i < 2; ++i) {
    boost::asio::co_spawn(context, server.drain(async::within(60s)), boost::asio::detached);
    context.run_for(10s);

    EXPECT_TRUE(context.stopped()) << i;
    context.restart();
  }
}

TEST(http_server_drain, a_server_that_never_started_drains_at_once_and_stays_closed) {
  boost::asio::io_context context;
  test_service service(context);
  listener_config where;
  where.port = 0;
  http_server server(context, where, {}, nullptr, service);
  server.listen().value();
  client waiting(server.port());

  boost::asio::co_spawn(context, server.drain(async::within(60s)), boost::asio::detached);
  context.run_for(10s);

  EXPECT_TRUE(context.stopped());
  EXPECT_EQ(server.stats().accepted, 0u);
  EXPECT_NO_THROW(server.start());
  EXPECT_TRUE(waiting.is_closed_by_server());
}

TEST(http_server_drain, what_waits_in_a_listener_that_was_handed_over_is_left_to_the_successor) {
  limits one_connection;
  one_connection.connections = 1;
  running_server first(one_connection);
  const std::uint16_t port = first.port();
  client busy(port);
  busy.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  first.await_waiting();
  client waiting(port);  // completed by the kernel, accepted by nobody
  waiting.send("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n");
  std::vector<unique_fd> copies;
  copies.emplace_back(::dup(listener_at(port)));

  auto drained = first.drain(30s, backlog::handed_over);
  running_server second(std::move(copies));

  EXPECT_EQ(waiting.read_answer().body, "hello /kept");
  EXPECT_EQ(first.stats().accepted, 1u);
  first.release();
  EXPECT_EQ(busy.read_answer().body, "waited");
  busy.reset();
  EXPECT_EQ(drained.wait_for(10s), std::future_status::ready);
  EXPECT_EQ(client(port).get("/late").body, "hello /late");
}

TEST(http_server_drain, every_listener_that_was_given_is_served_and_closed) {
  running_server first;
  running_server second;
  std::vector<unique_fd> copies;
  copies.emplace_back(::dup(listener_at(first.port())));
  copies.emplace_back(::dup(listener_at(second.port())));
  const std::array<std::uint16_t, 2> ports{first.port(), second.port()};
  EXPECT_EQ(first.drain(30s, backlog::handed_over).wait_for(10s), std::future_status::ready);
  EXPECT_EQ(second.drain(30s, backlog::handed_over).wait_for(10s), std::future_status::ready);
  running_server both(std::move(copies));

  for (const std::uint16_t port : ports) EXPECT_EQ(client(port).get("/here").body, "hello /here");

  EXPECT_EQ(both.drain(30s).wait_for(10s), std::future_status::ready);
  for (const std::uint16_t port : ports) EXPECT_FALSE(client(port).is_connected());
}

TEST(http_server_drain, only_a_listening_tcp_socket_can_be_given) {
  boost::asio::io_context context;
  test_service service(context);
  http_server server(context, listener_config{}, limits{}, nullptr, service);

  EXPECT_TRUE(server.adopt(unique_fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))).has_error());
  EXPECT_TRUE(server.adopt(unique_fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0))).has_error());
  EXPECT_TRUE(server.adopt(unique_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))).has_error());
  EXPECT_TRUE(server.adopt(unique_fd(::open("/dev/null", O_RDONLY | O_CLOEXEC))).has_error());
}

TEST(http_server_drain, a_listener_that_another_process_shares_is_not_watched_while_draining) {
  running_server server;
  client peer(server.port());
  peer.get("/first");
  const int shared = ::dup(listener_at(server.port()));
  ASSERT_GE(shared, 0);
  ASSERT_TRUE(is_watched(shared));

  auto drained = server.drain(60s);

  EXPECT_FALSE(is_watched(shared));
  ::close(shared);
}

}  // namespace
}  // namespace pam::net::test
