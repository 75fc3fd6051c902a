#include "server/runtime/service_manager.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <utility>

namespace pam::runtime {
namespace {

std::string_view value_of(const environment& variables, std::string_view name) {
  const auto found = variables.find(name);
  return found == variables.end() ? std::string_view{} : std::string_view{found->second};
}

std::optional<std::int64_t> number_in(std::string_view text) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || rest != end) return std::nullopt;
  return number;
}

/// A datagram socket connected to the manager's; an empty one when there is none.
net::unique_fd connect_to(std::string_view path) {
  sockaddr_un address{};
  // Absolute, or abstract with an @ for the leading NUL: anything else is no address of a manager.
  if (path.size() < 2 || path.size() >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
    return {};
  address.sun_family = AF_UNIX;
  std::memcpy(&address.sun_path[0], path.data(), path.size());
  if (path[0] == '@') address.sun_path[0] = '\0';
  net::unique_fd made(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  if (!made || ::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), size) != 0) return {};
  return made;
}

std::uint64_t monotonic_microseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(now.tv_nsec) / 1'000;
}

/// One line: a line feed would begin another assignment.
std::string status_line(std::string_view text) {
  std::string line = "STATUS=" + std::string(text);
  for (char& c : line) {
    if (c == '\n' || c == '\r') c = ' ';
  }
  return line;
}

}  // namespace

service_manager::service_manager(const environment& variables)
    : socket_(connect_to(value_of(variables, "NOTIFY_SOCKET"))) {
  const auto interval = number_in(value_of(variables, "WATCHDOG_USEC"));
  const std::string_view meant_for = value_of(variables, "WATCHDOG_PID");
  if (!socket_ || !interval || *interval <= 0) return;
  if (!meant_for.empty() && number_in(meant_for) != std::int64_t{::getpid()}) return;
  watchdog_ = std::chrono::microseconds{*interval / 2};
}

void service_manager::ready(std::string_view status) {
  send("READY=1\nMAINPID=" + std::to_string(::getpid()) + "\n" + status_line(status));
}

void service_manager::reloading() {
  send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(monotonic_microseconds()));
}

void service_manager::stopping(std::chrono::milliseconds at_most) {
  const auto extension = std::chrono::duration_cast<std::chrono::microseconds>(at_most).count();
  send("STOPPING=1\nEXTEND_TIMEOUT_USEC=" + std::to_string(extension) + "\nSTATUS=draining");
}

void service_manager::status(std::string_view text) {
  send(status_line(text));
}

void service_manager::alive() {
  send("WATCHDOG=1");
}

void service_manager::send(const std::string& state) const {
  // A manager whose queue is full misses one state; blocking here would stop this process for its sake.
  if (socket_) ::send(socket_.get(), state.data(), state.size(), MSG_NOSIGNAL);
}

}  // namespace pam::runtime
