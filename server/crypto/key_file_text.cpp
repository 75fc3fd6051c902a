#include "server/crypto/key_file_text.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/key_file.hpp"

namespace pam::crypto {
namespace {

constexpr std::string_view sealed_mark = "pam-sealed-keys-v1\n";
/// Bound to the sealed text: nothing sealed for another purpose opens as a key file.
constexpr std::string_view sealed_for = "pam key file v1";

constexpr std::size_t max_output = 64 * 1024;
constexpr std::chrono::seconds longest_run{30};

error bad_key(std::string why) {
  return {errc::bad_key, std::move(why)};
}

class descriptor {
 public:
  explicit descriptor(int number = -1) : number_(number) {}
  ~descriptor() { close(); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  void close() {
    if (number_ >= 0) ::close(std::exchange(number_, -1));
  }
  [[nodiscard]] int get() const { return number_; }

 private:
  int number_;
};

/// Reads to the end or the limit; false when that took too long.
bool read_output(int from, secret& out) {
  const auto end = std::chrono::steady_clock::now() + longest_run;
  std::string text;
  text.reserve(max_output + 1);  // never grows, so that it leaves no copies
  std::array<char, 4096> chunk = {};
  bool is_whole = false;
  while (text.size() <= max_output) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    struct pollfd ready{.fd = from, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) break;
    if (ready.revents == 0) continue;
    const ssize_t got = ::read(from, chunk.data(), std::min(chunk.size(), max_output + 1 - text.size()));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      is_whole = got == 0;
      break;
    }
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  out = secret{std::string_view{text}};
  wipe(text.data(), text.size());
  wipe(chunk.data(), chunk.size());
  return is_whole;
}

std::optional<pid_t> start_shell(const std::string& command, int output) {
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  std::string shell = "sh";
  std::string option = "-c";
  std::string line = command;
  const std::array<char*, 4> arguments{shell.data(), option.data(), line.data(), nullptr};
  pid_t child = 0;
  const int failure = ::posix_spawn(&child, "/bin/sh", &actions, nullptr, arguments.data(), environ);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failure != 0) return std::nullopt;
  return child;
}

}  // namespace

bool is_sealed_key_text(std::string_view text) {
  return text.starts_with(sealed_mark);
}

secret seal_key_text(const sealer& under, std::string_view text) {
  const auto sealed = under.seal(std::as_bytes(std::span{text}), sealed_for);
  return secret{std::string{sealed_mark} + detail::to_base64url(std::span<const std::byte>{sealed}) + "\n"};
}

result<secret> read_key_text(const std::string& file, const sealer* unsealer) {
  auto text = detail::read_key_file(file);
  if (text.has_error() || !is_sealed_key_text(text->view())) return text;
  if (unsealer == nullptr) {
    return bad_key(file + ": is sealed; give keys.encryption_key_file or keys.encryption_key_command");
  }
  std::string_view body = text->view().substr(sealed_mark.size());
  if (body.ends_with('\n')) body.remove_suffix(1);
  const auto bytes = detail::from_base64url(body);
  if (!bytes) return bad_key(file + ": is sealed, but not whole");
  auto opened = unsealer->open(std::as_bytes(std::span{*bytes}), sealed_for);
  if (opened.has_error()) return bad_key(file + ": cannot be opened: " + opened.error().detail);
  return opened;
}

result<sealer> sealer_from_command(const std::string& command) {
  std::array<int, 2> ends = {};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    return bad_key("cannot make a pipe: " + std::generic_category().message(errno));
  }
  const descriptor read_end{ends[0]};
  descriptor write_end{ends[1]};
  const auto child = start_shell(command, write_end.get());
  if (!child) return bad_key("cannot start /bin/sh");
  write_end.close();
  secret printed;
  const bool is_whole = read_output(read_end.get(), printed);
  if (!is_whole) ::kill(*child, SIGKILL);
  int status = 0;
  while (::waitpid(*child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!is_whole) return bad_key("the command printed more than 64 KB or ran for more than 30 s");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    return bad_key("the command failed; its output was ignored");
  return sealer::parse(printed.view());
}

}  // namespace pam::crypto
