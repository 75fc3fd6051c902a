#include "server/cli/end_signals.hpp"

#include <csignal>
#include <ctime>

namespace pam::cli {

namespace {

sigset_t end_signals() {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  return ends;
}

}  // namespace

void hold_end_signals() {
  const sigset_t ends = end_signals();
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
}

bool end_signal_came(std::chrono::milliseconds patience) {
  const sigset_t ends = end_signals();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(patience);
  const timespec limit{.tv_sec = seconds.count(),
                       .tv_nsec = std::chrono::nanoseconds{patience - seconds}.count()};
  return sigtimedwait(&ends, nullptr, &limit) > 0;
}

}  // namespace pam::cli
