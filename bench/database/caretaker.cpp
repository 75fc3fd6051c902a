#include "bench/database/caretaker.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <exception>
#include <system_error>

#include <fmt/format.h>

namespace pam::bench {

namespace {

[[noreturn]] void outlive(int lifeline, const std::function<void()>& duty) {
  char nothing = 0;
  while (::read(lifeline, &nothing, 1) < 0 && errno == EINTR) continue;
  try {
    duty();
  } catch (const std::exception& failure) {
    fmt::print(stderr, "{}\n", failure.what());
    ::_exit(1);
  }
  ::_exit(0);
}

std::system_error last_error(const char* what) {
  return {errno, std::generic_category(), what};
}

}  // namespace

caretaker::caretaker(const std::function<void()>& duty) {
  std::array<int, 2> ends{};
  // Not for programs that we start: one that outlives us would keep the line.
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw last_error("pipe2");
  child_ = ::fork();
  if (child_ == 0) {
    ::setpgid(0, 0);
    ::close(ends[1]);
    outlive(ends[0], duty);
  }
  ::close(ends[0]);
  lifeline_ = ends[1];
  if (child_ < 0) {
    ::close(lifeline_);
    throw last_error("fork");
  }
  ::setpgid(child_, child_);  // whichever of us comes first: nobody goes on before it is done
}

caretaker::~caretaker() {
  ::close(lifeline_);
  while (::waitpid(child_, nullptr, 0) < 0 && errno == EINTR) continue;
}

}  // namespace pam::bench
