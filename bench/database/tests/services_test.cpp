#include "bench/database/services.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

namespace pam::bench {
namespace {

/// A folder with a script that stands in for services.sh: it writes what it was told.
class services_test : public ::testing::TestWithParam<int> {
 protected:
  services_test() {
    if (::mkdtemp(name_.data()) == nullptr) throw std::runtime_error("mkdtemp");
    std::ofstream{script()} << "#!/bin/sh\n"
                               "echo \"$1 $2\" >>\"${0%/*}/said\"\n"
                               "[ \"$1\" = stop ] || echo PAM_TEST_PG_SOCKET_DIR=/nowhere >\"$2/env\"\n"
                               "[ ! -e \"${0%/*}/must-fail\" ] || [ \"$1\" = stop ]\n";
    std::filesystem::permissions(script(), std::filesystem::perms::owner_all);
  }
  ~services_test() override { std::filesystem::remove_all(name_); }

  [[nodiscard]] std::string script() const { return name_ + "/services.sh"; }
  [[nodiscard]] std::string said() const {
    std::ifstream in{name_ + "/said"};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  static std::string folder_of(pid_t process) {
    return (std::filesystem::temp_directory_path() / ("pam_bench_db_" + std::to_string(process))).string();
  }
  static std::string started_and_stopped(const std::string& folder) {
    return "start " + folder + "\nstop " + folder + "\n";
  }

  std::string name_ = (std::filesystem::temp_directory_path() / "pam_services.XXXXXX").string();
};

TEST_F(services_test, are_told_to_stop_and_their_folder_goes_when_the_bench_is_done) {
  const std::string folder = folder_of(::getpid());
  plan how;
  {
    const services servers{script(), how};
    EXPECT_EQ(how.socket_dir, "/nowhere");
    EXPECT_EQ(how.scratch, folder);
    EXPECT_TRUE(std::filesystem::exists(folder));
  }

  EXPECT_EQ(said(), started_and_stopped(folder));
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST_F(services_test, that_do_not_start_are_stopped_as_well) {
  std::ofstream{name_ + "/must-fail"};
  plan how;

  EXPECT_THROW((services{script(), how}), std::runtime_error);

  EXPECT_EQ(said(), started_and_stopped(folder_of(::getpid())));
  EXPECT_FALSE(std::filesystem::exists(folder_of(::getpid())));
}

TEST_P(services_test, are_stopped_and_their_folder_goes_when_a_signal_ends_the_bench) {
  // Open as long as anybody of the bench is there.
  std::array<int, 2> alive{};
  ASSERT_EQ(::pipe(alive.data()), 0);
  const pid_t bench = ::fork();
  if (bench == 0) {
    ::setpgid(0, 0);
    plan how;
    const services servers{script(), how};
    ::kill(0, GetParam());  // as Ctrl-C: the whole group
    for (;;) ::pause();
  }
  ::close(alive[1]);

  int status = 0;
  ASSERT_EQ(::waitpid(bench, &status, 0), bench);
  char nothing = 0;
  ASSERT_EQ(::read(alive[0], &nothing, 1), 0);
  ::close(alive[0]);

  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == GetParam()) << status;
  EXPECT_EQ(said(), started_and_stopped(folder_of(bench)));
  EXPECT_FALSE(std::filesystem::exists(folder_of(bench)));
}

INSTANTIATE_TEST_SUITE_P(signals, services_test, ::testing::Values(SIGINT, SIGTERM, SIGKILL),
                         [](const auto& info) { return std::string{sigabbrev_np(info.param)}; });

}  // namespace
}  // namespace pam::bench
