#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "server/runtime/embedded_failure.hpp"

namespace pam::runtime {

/// The user a child process runs as. PostgreSQL and PgBouncer refuse root.
struct process_user {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string name;
  bool is_other = false;  ///< another user than ours: the child drops its privileges
};

/// What to start, and how.
struct process_spec {
  std::vector<std::string> arguments;  ///< [0] is the program's absolute path
  process_user user;
  std::filesystem::path folder;  ///< working directory
  std::filesystem::path log;     ///< receives standard output and error, appended; made with mode 0600
  int death_signal = 0;          ///< sent to the child when the *thread* that started it ends; 0: none
};

/// A child process in a process group of its own, so that Ctrl-C of the terminal reaches only us.
/// Its environment is ours without PG* variables and with the C locale. Ended and reaped by the destructor.
///
/// Start it from a thread that lives as long as the child should: Linux sends the death signal when that
/// thread ends (prctl(2), PR_SET_PDEATHSIG).
class child_process {
 public:
  [[nodiscard]] static embedded_result<child_process> start(const process_spec& spec);

  child_process() = default;
  child_process(child_process&& other) noexcept;
  child_process& operator=(child_process&& other) noexcept;
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  ~child_process();

  /// 0 when it was never started or was reaped.
  [[nodiscard]] pid_t pid() const { return pid_; }
  /// Reaps it if it ended.
  [[nodiscard]] bool is_alive();
  /// Waits for its end. @return its wait status (waitpid(2)), nothing on a timeout
  std::optional<int> wait(std::chrono::milliseconds limit);

  struct farewell {
    int signal;
    std::chrono::milliseconds patience;
  };
  /// Sends one signal after the other until it ended; SIGKILL last.
  void stop(std::initializer_list<farewell> signals);

 private:
  explicit child_process(pid_t pid) : pid_(pid) {}
  pid_t pid_ = 0;
  int status_ = 0;
};

}  // namespace pam::runtime
