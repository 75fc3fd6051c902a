// How one process gives its listening sockets to the next, and what systemd gives to the first.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <thread>

#include <gmock/gmock.h>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>

#include "server/runtime/control_address.hpp"
#include "server/runtime/control_socket.hpp"
#include "server/runtime/predecessor.hpp"
#include "tests/support/temporary_folder.hpp"

namespace pam::runtime {
namespace {

using testing::HasSubstr;

net::unique_fd listen_anywhere() {
  net::unique_fd made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::bind(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  EXPECT_EQ(::listen(made.get(), 8), 0);
  return made;
}

ino_t inode_of(const net::unique_fd& socket) {
  struct stat found{};
  EXPECT_EQ(::fstat(socket.get(), &found), 0);
  return found.st_ino;
}

std::uint16_t port_of(const net::unique_fd& socket) {
  sockaddr_in bound{};
  socklen_t size = sizeof(bound);
  EXPECT_EQ(::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size), 0);
  return ntohs(bound.sin_port);
}

/// A process that may be replaced: its control socket and listeners, on a thread of its own.
class running_owner {
 public:
  running_owner(const std::string& path, std::size_t listeners) {
    for (std::size_t i = 0; i < listeners; ++i) open.push_back(listen_anywhere());
    internal.push_back(listen_anywhere());
    control_ = control_socket::open(context_, path).value();
    control_socket::owner self;
    self.open_listeners = [this] { return descriptors(open); };
    self.internal_listeners = [this] { return descriptors(internal); };
    self.refused = [this](std::string_view why) { refused_.set_value(std::string(why)); };
    self.handed_over = [this](pid_t to) { handed_over_.set_value(to); };
    control_->start(std::move(self));
    thread_ = std::thread([this] { context_.run(); });
  }
  ~running_owner() {
    boost::asio::post(context_, [this] { control_->close(); });
    work_.reset();
    thread_.join();
  }
  running_owner(const running_owner&) = delete;
  running_owner& operator=(const running_owner&) = delete;

  std::string refused() { return refused_.get_future().get(); }
  pid_t handed_over() { return handed_over_.get_future().get(); }

  std::vector<net::unique_fd> open;
  std::vector<net::unique_fd> internal;

 private:
  static std::vector<int> descriptors(const std::vector<net::unique_fd>& sockets) {
    std::vector<int> all;
    for (const net::unique_fd& each : sockets) all.push_back(each.get());
    return all;
  }

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  std::shared_ptr<control_socket> control_;
  std::promise<std::string> refused_;
  std::promise<pid_t> handed_over_;
  std::thread thread_;
};

class hand_over : public testing::Test {
 protected:
  tests::temporary_folder folder;
  std::string path = (folder.path() / "control").string();
};

TEST_F(hand_over, a_successor_gets_the_same_sockets_and_relieves_its_predecessor) {
  running_owner old(path, 3);

  auto found = predecessor::find(path).value();
  ASSERT_TRUE(found);
  const inherited_listeners got = found->take_listeners();

  ASSERT_EQ(got.open.size(), 3U);
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(inode_of(got.open[i]), inode_of(old.open[i]));
  ASSERT_EQ(got.internal.size(), 1U);
  EXPECT_EQ(inode_of(got.internal[0]), inode_of(old.internal[0]));
  EXPECT_NE(::fcntl(got.open[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_TRUE(found->relieve());
  EXPECT_EQ(old.handed_over(), ::getpid());
}

TEST_F(hand_over, more_listeners_than_one_message_holds_are_all_handed_over) {
  running_owner old(path, 450);

  auto found = predecessor::find(path).value();

  ASSERT_TRUE(found);
  EXPECT_EQ(found->take_listeners().open.size(), 450U);
}

TEST_F(hand_over, a_successor_that_gives_up_leaves_everything_as_it_was) {
  running_owner old(path, 1);

  {
    auto gone = predecessor::find(path).value();
  }

  EXPECT_THAT(old.refused(), HasSubstr("serves on"));
  EXPECT_TRUE(predecessor::find(path).value());
}

TEST_F(hand_over, nobody_there_is_no_error) {
  EXPECT_FALSE(predecessor::find(path).value());

  // A file that a killed process left: nobody listens.
  net::unique_fd dead(::socket(AF_UNIX, SOCK_SEQPACKET, 0));
  const auto address = control_address(path);
  ASSERT_EQ(::bind(dead.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)), 0);
  dead.reset();
  EXPECT_FALSE(predecessor::find(path).value());
}

TEST_F(hand_over, the_socket_is_private_replaces_what_was_there_and_goes_with_its_process) {
  boost::asio::io_context context;
  auto first = control_socket::open(context, path).value();
  struct stat found{};
  ASSERT_EQ(::lstat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777, 0600U);

  auto second = control_socket::open(context, path).value();
  first->close();

  EXPECT_TRUE(std::filesystem::exists(path)) << "it is the second's by now";
  // With the first one's inode free again, a third file may get its number.
  auto third = control_socket::open(context, path).value();
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(path)) << "it is the third's by now";
  third->close();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(hand_over, a_folder_that_is_not_there_is_named) {
  boost::asio::io_context context;

  const auto made = control_socket::open(context, (folder.path() / "nowhere" / "control").string());

  ASSERT_TRUE(made.has_error());
  EXPECT_THAT(made.error().message, HasSubstr("nowhere/control"));
  EXPECT_THAT(made.error().message, HasSubstr("folder"));
}

TEST(inherited, sockets_of_systemd_are_told_apart_by_name) {
  // They begin at 3: put ours there, and what was there back afterwards.
  const net::unique_fd one = listen_anywhere();
  const net::unique_fd other = listen_anywhere();
  const net::unique_fd kept3(::fcntl(3, F_DUPFD_CLOEXEC, 100));
  const net::unique_fd kept4(::fcntl(4, F_DUPFD_CLOEXEC, 100));
  const net::unique_fd copy1(::fcntl(one.get(), F_DUPFD_CLOEXEC, 100));
  const net::unique_fd copy2(::fcntl(other.get(), F_DUPFD_CLOEXEC, 100));
  ASSERT_EQ(::dup2(copy1.get(), 3), 3);
  ASSERT_EQ(::dup2(copy2.get(), 4), 4);

  auto got = systemd_listeners({{"LISTEN_PID", std::to_string(::getpid())},
                                {"LISTEN_FDS", "2"},
                                {"LISTEN_FDNAMES", "pam-auth.socket:internal"}})
                 .value();

  ASSERT_EQ(got.open.size(), 1U);
  ASSERT_EQ(got.internal.size(), 1U);
  EXPECT_EQ(inode_of(got.open[0]), inode_of(copy1));
  EXPECT_EQ(inode_of(got.internal[0]), inode_of(copy2));
  EXPECT_NE(::fcntl(3, F_GETFD) & FD_CLOEXEC, 0);
  if (kept3) ::dup2(kept3.get(), got.open[0].release());
  if (kept4) ::dup2(kept4.get(), got.internal[0].release());
}

TEST(inherited, sockets_for_another_process_are_left_alone) {
  EXPECT_TRUE(systemd_listeners({{"LISTEN_PID", "1"}, {"LISTEN_FDS", "1"}}).value().empty());
  EXPECT_TRUE(systemd_listeners({{"LISTEN_FDS", "1"}}).value().empty());
  EXPECT_TRUE(systemd_listeners({}).value().empty());
}

TEST(inherited, a_count_that_is_none_and_descriptors_that_are_not_there_are_refused) {
  const std::string self = std::to_string(::getpid());

  EXPECT_TRUE(systemd_listeners({{"LISTEN_PID", self}, {"LISTEN_FDS", "many"}}).has_error());
  EXPECT_TRUE(systemd_listeners({{"LISTEN_PID", self}, {"LISTEN_FDS", "-1"}}).has_error());
  EXPECT_TRUE(systemd_listeners({{"LISTEN_PID", self}, {"LISTEN_FDS", "5000"}}).has_error());
}

TEST(inherited, the_same_socket_is_not_served_twice) {
  inherited_listeners all;
  all.open.push_back(listen_anywhere());
  inherited_listeners more;
  more.open.emplace_back(::fcntl(all.open[0].get(), F_DUPFD_CLOEXEC, 0));
  more.open.push_back(listen_anywhere());

  merge_listeners(all, std::move(more));

  EXPECT_EQ(all.open.size(), 2U);
}

TEST(inherited, sockets_of_another_address_or_port_are_closed) {
  std::vector<net::unique_fd> all;
  all.push_back(listen_anywhere());
  all.push_back(listen_anywhere());
  const std::uint16_t port = port_of(all[1]);

  EXPECT_EQ(keep_listeners_at(all, "127.0.0.1", 0), 0U);
  EXPECT_EQ(keep_listeners_at(all, "127.0.0.1", port), 1U);
  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(port_of(all[0]), port);
  EXPECT_EQ(keep_listeners_at(all, "127.0.0.2", port), 1U);
}

}  // namespace
}  // namespace pam::runtime
