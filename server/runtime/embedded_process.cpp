#include "server/runtime/embedded_process.hpp"

#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>

namespace pam::runtime {

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

/// An owned descriptor.
class descriptor {
 public:
  explicit descriptor(int fd) : fd_(fd) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() { reset(); }
  [[nodiscard]] int get() const { return fd_; }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

/// Ours without PG* (a PGDATA or PGPORT of the shell would redirect the child) and without a locale.
std::vector<std::string> clean_environment() {
  std::vector<std::string> kept{"LC_ALL=C", "TZ=UTC"};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text{*entry};
    if (text.starts_with("PG") || text.starts_with("LC_") || text.starts_with("LANG") ||
        text.starts_with("TZ=")) {
      continue;
    }
    kept.emplace_back(text);
  }
  return kept;
}

std::vector<char*> as_pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Everything the child needs between fork and exec, made before: only async-signal-safe calls are allowed
/// there, because other threads may have held any lock (fork(2), signal-safety(7)).
struct prepared {
  char* const* arguments;
  char* const* environment;
  const char* folder;
  int null_fd;
  int log_fd;
  int report_fd;
  pid_t parent;
  const process_spec* spec;
};

bool drop_privileges(const process_user& user) {
  if (!user.is_other) return true;
  return setgroups(0, nullptr) == 0 && setresgid(user.gid, user.gid, user.gid) == 0 &&
         setresuid(user.uid, user.uid, user.uid) == 0;
}

[[noreturn]] void become(const prepared& how) {
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE, SIGCHLD, SIGUSR1, SIGUSR2}) {
    signal(number, SIG_DFL);
  }
  // A change of user clears the death signal, so it comes after; our parent may have died before it was set.
  const bool is_ready = drop_privileges(how.spec->user) &&
                        prctl(PR_SET_PDEATHSIG, how.spec->death_signal) == 0 && getppid() == how.parent &&
                        chdir(how.folder) == 0 && dup2(how.null_fd, STDIN_FILENO) >= 0 &&
                        dup2(how.log_fd, STDOUT_FILENO) >= 0 && dup2(how.log_fd, STDERR_FILENO) >= 0;
  if (is_ready) {
    syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_CLOEXEC);
    execve(how.arguments[0], how.arguments, how.environment);
  }
  const int failure = errno;
  static_cast<void>(!write(how.report_fd, &failure, sizeof failure));
  _exit(127);
}

embedded_error failure_of(const process_spec& spec, int number) {
  return {spec.arguments[0] + " could not be started as " + spec.user.name + ": " + std::strerror(number) +
          "."};
}

}  // namespace

embedded_result<child_process> child_process::start(const process_spec& spec) {
  std::vector<std::string> arguments = spec.arguments;
  std::vector<std::string> environment = clean_environment();
  const std::vector<char*> argument_pointers = as_pointers(arguments);
  const std::vector<char*> environment_pointers = as_pointers(environment);
  const descriptor null{open("/dev/null", O_RDWR | O_CLOEXEC)};
  const descriptor log{open(spec.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)};
  if (null.get() < 0 || log.get() < 0) {
    return embedded_error{"The log " + spec.log.string() + " cannot be written: " + std::strerror(errno) +
                          "."};
  }
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return failure_of(spec, errno);
  const descriptor reading{ends[0]};
  descriptor writing{ends[1]};

  const prepared how{.arguments = argument_pointers.data(),
                     .environment = environment_pointers.data(),
                     .folder = spec.folder.c_str(),
                     .null_fd = null.get(),
                     .log_fd = log.get(),
                     .report_fd = writing.get(),
                     .parent = getpid(),
                     .spec = &spec};
  const pid_t pid = fork();
  if (pid < 0) return failure_of(spec, errno);
  if (pid == 0) become(how);
  child_process child{pid};
  writing.reset();
  // The pipe closes at a successful exec; else the child writes why it failed.
  int number = 0;
  ssize_t got = 0;
  do {
    got = read(reading.get(), &number, sizeof number);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return child;
  child.wait(5s);
  return failure_of(spec, number);
}

child_process::child_process(child_process&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), status_(other.status_) {}

child_process& child_process::operator=(child_process&& other) noexcept {
  if (this != &other) {
    stop({});
    pid_ = std::exchange(other.pid_, 0);
    status_ = other.status_;
  }
  return *this;
}

child_process::~child_process() {
  stop({{SIGTERM, 2s}});
}

bool child_process::is_alive() {
  if (pid_ == 0) return false;
  const pid_t got = waitpid(pid_, &status_, WNOHANG);
  if (got == 0 || (got < 0 && errno == EINTR)) return true;
  pid_ = 0;  // reaped by us, or by somebody else (ECHILD)
  return false;
}

std::optional<int> child_process::wait(std::chrono::milliseconds limit) {
  const auto end = steady_clock::now() + limit;
  for (auto pause = 1ms; is_alive(); pause = std::min(2 * pause, 20ms)) {
    if (steady_clock::now() >= end) return std::nullopt;
    std::this_thread::sleep_for(pause);
  }
  return status_;
}

void child_process::stop(std::initializer_list<farewell> signals) {
  for (const farewell& next : signals) {
    if (!is_alive()) return;
    kill(pid_, next.signal);
    if (wait(next.patience)) return;
  }
  if (!is_alive()) return;
  kill(pid_, SIGKILL);
  wait(5s);
}

}  // namespace pam::runtime
