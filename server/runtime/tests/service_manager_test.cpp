#include "server/runtime/service_manager.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <ctime>

#include <gmock/gmock.h>

#include "server/runtime/control_address.hpp"
#include "tests/support/temporary_folder.hpp"

namespace pam::runtime {
namespace {

using namespace std::chrono_literals;
using testing::StartsWith;

/// A service manager's socket: says what it was told.
class manager_socket {
 public:
  manager_socket() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
    const auto address = control_address(path());
    EXPECT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)), 0);
  }
  [[nodiscard]] std::string path() const { return (folder_.path() / "notify").string(); }
  /// The next datagram; empty when there is none.
  std::string told() {
    std::array<char, 4096> text{};
    const ssize_t got = ::recv(socket_.get(), text.data(), text.size(), 0);
    return got < 0 ? std::string{} : std::string(text.data(), static_cast<std::size_t>(got));
  }

 private:
  tests::temporary_folder folder_;
  net::unique_fd socket_;
};

TEST(service_manager, each_state_is_one_datagram_of_assignments) {
  manager_socket manager;
  service_manager told({{"NOTIFY_SOCKET", manager.path()}});

  told.ready("serving\nREADY=0");
  EXPECT_EQ(manager.told(), "READY=1\nMAINPID=" + std::to_string(::getpid()) + "\nSTATUS=serving READY=0");
  told.stopping(90s);
  EXPECT_EQ(manager.told(), "STOPPING=1\nEXTEND_TIMEOUT_USEC=90000000\nSTATUS=draining");
  told.status("busy");
  EXPECT_EQ(manager.told(), "STATUS=busy");
  told.alive();
  EXPECT_EQ(manager.told(), "WATCHDOG=1");
}

TEST(service_manager, a_reload_carries_the_monotonic_time) {
  manager_socket manager;
  service_manager told({{"NOTIFY_SOCKET", manager.path()}});
  timespec before{};
  ::clock_gettime(CLOCK_MONOTONIC, &before);

  told.reloading();

  const std::string text = manager.told();
  ASSERT_THAT(text, StartsWith("RELOADING=1\nMONOTONIC_USEC="));
  EXPECT_GE(std::stoll(text.substr(text.rfind('=') + 1)), before.tv_sec * 1'000'000);
}

TEST(service_manager, without_one_nothing_happens) {
  for (const char* path : {"", "relative", "/nowhere/at/all", "@"}) {
    service_manager told({{"NOTIFY_SOCKET", path}, {"WATCHDOG_USEC", "1000000"}});
    told.ready("serving");
    EXPECT_FALSE(told.is_present());
    EXPECT_FALSE(told.watchdog_interval());
  }
}

TEST(service_manager, a_manager_that_does_not_read_holds_up_nobody) {
  manager_socket manager;
  service_manager told({{"NOTIFY_SOCKET", manager.path()}});

  for (int i = 0; i < 10'000; ++i) told.alive();

  EXPECT_EQ(manager.told(), "WATCHDOG=1");
}

TEST(service_manager, the_watchdog_is_asked_for_by_the_environment_and_meant_for_this_process) {
  manager_socket manager;
  const auto interval = [&](environment more) {
    more.emplace("NOTIFY_SOCKET", manager.path());
    return service_manager(more).watchdog_interval();
  };

  EXPECT_EQ(interval({{"WATCHDOG_USEC", "3000000"}}), 1500ms);
  EXPECT_EQ(interval({{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", std::to_string(::getpid())}}), 1500ms);
  EXPECT_FALSE(interval({{"WATCHDOG_USEC", "3000000"}, {"WATCHDOG_PID", "1"}}));
  EXPECT_FALSE(interval({{"WATCHDOG_USEC", "0"}}));
  EXPECT_FALSE(interval({{"WATCHDOG_USEC", "soon"}}));
  EXPECT_FALSE(interval({}));
}

}  // namespace
}  // namespace pam::runtime
