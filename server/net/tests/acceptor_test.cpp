// When a full server sends away what waits, and what waiting clients cost that have left: the time is passed
// in, the sockets are real.
#include "server/net/detail/acceptor.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <deque>

#include "server/net/tests/server_fixture.hpp"

namespace pam::net::test {
namespace {

using namespace std::chrono_literals;
using detail::acceptor;
using reason = acceptor::reason;

class acceptors : public ::testing::Test {
 protected:
  static acceptor listening(const limits& bounds, bool is_tls = false) {
    acceptor made(bounds, is_tls);
    listener_config where;
    where.port = 0;
    made.listen(where).value();
    return made;
  }

  static limits one_connection() {
    limits bounds;
    bounds.connections = 1;
    bounds.full_grace = 500ms;
    return bounds;
  }

  /// As many as may be shed at `now`.
  static std::size_t shed_all(acceptor& from, acceptor::clock::time_point now) {
    std::size_t all = 0;
    while (const std::size_t some = from.shed(now)) all += some;
    return all;
  }

  const acceptor::clock::time_point start = acceptor::clock::now();
};

TEST_F(acceptors, what_waits_is_reset_only_after_the_grace) {
  acceptor full = listening(one_connection());
  client waiting(full.port());

  EXPECT_FALSE(full.accept(1, start).socket);

  EXPECT_EQ(full.shed(start + 499ms), 0u);
  EXPECT_EQ(full.shed(start + 500ms), 1u);
  errno = 0;
  const bool is_closed = waiting.is_closed_by_server();
  const int how = errno;
  EXPECT_TRUE(is_closed);
  EXPECT_EQ(how, ECONNRESET);
}

TEST_F(acceptors, a_place_taken_again_at_once_gives_the_others_no_new_grace) {
  acceptor full = listening(one_connection());
  client first(full.port());
  client second(full.port());
  EXPECT_FALSE(full.accept(1, start).socket);

  full.resume(reason::connections, start + 400ms);
  EXPECT_TRUE(full.accept(0, start + 400ms).socket) << "a place goes to who waited longest";
  EXPECT_FALSE(full.accept(1, start + 400ms).socket);

  EXPECT_EQ(full.shed(start + 499ms), 0u);
  EXPECT_EQ(full.shed(start + 500ms), 1u);
  EXPECT_EQ(full.times_full(), 1u);
}

TEST_F(acceptors, after_some_time_with_room_there_is_a_new_grace) {
  acceptor full = listening(one_connection());
  EXPECT_FALSE(full.accept(1, start).socket);
  full.resume(reason::connections, start + 1s);
  client waiting(full.port());

  EXPECT_FALSE(full.accept(1, start + 1'500ms).socket);

  EXPECT_EQ(full.shed(start + 1'999ms), 0u);
  EXPECT_EQ(full.shed(start + 2s), 1u);
  EXPECT_EQ(full.times_full(), 2u);
}

TEST_F(acceptors, resets_come_in_bounded_batches) {
  constexpr std::size_t count = 100;
  acceptor full = listening(one_connection());
  std::deque<client> waiting;
  for (std::size_t i = 0; i < count; ++i) waiting.emplace_back(full.port());
  EXPECT_FALSE(full.accept(1, start).socket);

  const std::size_t first = shed_all(full, start + 1s);
  const std::size_t too_soon = shed_all(full, full.shed_from() - 1ms);
  const std::size_t second = shed_all(full, full.shed_from());

  EXPECT_EQ(first, 64u);
  EXPECT_EQ(too_soon, 0u);
  EXPECT_EQ(second, count - 64);
}

TEST_F(acceptors, clients_that_left_while_they_waited_cost_no_handshake) {
  limits bounds;
  bounds.handshakes_per_second = 1;
  acceptor secure = listening(bounds, true);
  client quick(secure.port());
  ASSERT_TRUE(secure.accept(0, start).socket);
  EXPECT_FALSE(secure.accept(1, start).socket);
  ASSERT_TRUE(secure.is_paused_by(reason::handshakes));
  client reset(secure.port());
  client ended(secure.port());
  client hello_and_gone(secure.port());
  client patient(secure.port());
  reset.reset();
  ended.shutdown_sending();
  hello_and_gone.send("\x16\x03\x01");
  hello_and_gone.shutdown_sending();
  patient.send("\x16\x03\x01");

  secure.resume(reason::handshakes, start + 1s);  // one more handshake may begin
  for (int i = 0; i < 3; ++i) {
    const acceptor::connection gone = secure.accept(1, start + 1s);
    EXPECT_TRUE(gone.has_left);
    EXPECT_FALSE(gone.socket);
    EXPECT_FALSE(secure.is_paused());
  }
  const acceptor::connection there = secure.accept(1, start + 1s);

  EXPECT_TRUE(there.socket) << "it is left for who is there";
  EXPECT_FALSE(there.has_left);
}

TEST_F(acceptors, clients_that_did_not_have_to_wait_are_not_asked_whether_they_are_there) {
  acceptor secure = listening(limits{}, true);
  client gone(secure.port());
  gone.reset();

  EXPECT_TRUE(secure.accept(0, start).socket) << "a system call for each would be paid by everybody";
}

}  // namespace
}  // namespace pam::net::test
