#include "server/runtime/predecessor.hpp"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "server/runtime/control_address.hpp"
#include "server/runtime/passed_descriptors.hpp"

namespace pam::runtime {
namespace {

/// An answer of a server that lives takes milliseconds; one that hangs should not hold up its replacement.
constexpr timeval patience{.tv_sec = 10, .tv_usec = 0};

}  // namespace

boost::system::result<std::optional<predecessor>, start_error> predecessor::find(const std::string& path) {
  using outcome = boost::system::result<std::optional<predecessor>, start_error>;
  const auto address = control_address(path);
  if (!address) return start_error{"server.control_socket: the path is too long"};
  net::unique_fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto failed = [&path](const std::string& why) {
    return start_error{"the server at " + path + " " + why};
  };
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    if (errno == ENOENT || errno == ECONNREFUSED) return outcome{std::optional<predecessor>{}};
    return failed("cannot be reached: " + std::string(std::strerror(errno)));
  }
  // Whoever could put a socket there could hand us listeners of his own.
  if (!is_peer_trusted(socket.get()))
    return failed("runs as another user: it is not asked for its listeners");
  predecessor made(std::move(socket));
  if (!pass(made.socket_.get(), control_take_over)) return failed("went away");
  for (;;) {
    auto got = receive_passed(made.socket_.get());
    if (!got)
      return failed("did not hand over its listeners: does it drain, or hand over to another already?");
    if (got->text == control_all) break;
    auto& to = got->text == control_internal ? made.listeners_.internal : made.listeners_.open;
    for (net::unique_fd& each : got->descriptors) to.push_back(std::move(each));
  }
  return outcome{std::optional<predecessor>{std::move(made)}};
}

bool predecessor::relieve() {
  if (!pass(socket_.get(), control_ready)) return false;
  const auto answer = receive_passed(socket_.get());
  return answer && answer->text == control_draining;
}

}  // namespace pam::runtime
