#include "server/runtime/control_socket.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "async/tuple_await.hpp"
#include "server/runtime/control_address.hpp"
#include "server/runtime/passed_descriptors.hpp"

namespace pam::runtime {
namespace {

constexpr std::chrono::seconds answer_patience{10};
/// From the listeners to "ready": a successor connects its database meanwhile.
constexpr std::chrono::seconds start_patience{120};
constexpr std::chrono::seconds after_failure{1};

pid_t process_of(int socket) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  return ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
}

/// Binds beside the wanted name and renames: the file is never there half made, nor absent while one
/// process follows another.
int bind_private(int socket, const std::string& path) {
  const std::string draft = path + "." + std::to_string(::getpid());
  const auto address = control_address(draft);
  if (!address) return ENAMETOOLONG;
  ::unlink(draft.c_str());
  // The mode of a socket's file is the descriptor's at bind; a chmod afterwards would leave a gap.
  if (::fchmod(socket, S_IRUSR | S_IWUSR) != 0) return errno;
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) return errno;
  if (::listen(socket, 4) == 0 && std::rename(draft.c_str(), path.c_str()) == 0) return 0;
  const int failure = errno;
  ::unlink(draft.c_str());
  return failure;
}

}  // namespace

boost::system::result<std::shared_ptr<control_socket>, start_error> control_socket::open(
    boost::asio::io_context& context, const std::string& path) {
  net::unique_fd made(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int failure = made ? bind_private(made.get(), path) : errno;
  if (failure != 0) {
    return start_error{"server.control_socket " + path + " cannot be made: " + std::strerror(failure) +
                       "; its folder must exist and belong to this user"};
  }
  return std::shared_ptr<control_socket>(new control_socket(context, path, std::move(made)));
}

control_socket::control_socket(boost::asio::io_context& context, std::string path, net::unique_fd listening)
    : context_(context),
      path_(std::move(path)),
      listening_(context, listening.release()),
      patience_(context) {
  struct stat made{};
  if (::lstat(path_.c_str(), &made) == 0) {
    device_ = made.st_dev;
    inode_ = made.st_ino;
  }
}

control_socket::~control_socket() {
  remove_file();
}

void control_socket::start(owner of) {
  owner_ = std::move(of);
  boost::asio::co_spawn(context_, serve(), boost::asio::detached);
}

void control_socket::close() {
  if (std::exchange(is_closing_, true)) return;
  remove_file();
  boost::system::error_code ignored;
  listening_.close(ignored);
  patience_.cancel();
  if (const auto peer = current_.lock()) peer->cancel(ignored);
}

void control_socket::remove_file() {
  // Once, and while our socket still holds its inode: afterwards another file may have the same number.
  if (std::exchange(is_removed_, true)) return;
  struct stat found{};
  if (::lstat(path_.c_str(), &found) != 0) return;
  if (found.st_dev == device_ && found.st_ino == inode_) ::unlink(path_.c_str());
}

boost::asio::awaitable<void> control_socket::serve() {
  const auto self = shared_from_this();
  while (!is_closing_) {
    co_await listening_.async_wait(descriptor::wait_read, async::tuple_await);
    if (is_closing_) break;
    net::unique_fd peer(
        ::accept4(listening_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!peer) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      // No descriptor left: it is readable again at once.
      patience_.expires_after(after_failure);
      co_await patience_.async_wait(async::tuple_await);
      continue;
    }
    if (!is_peer_trusted(peer.get())) {
      owner_.refused("another user asked for the listeners");
      continue;
    }
    co_await hand_over(std::make_shared<descriptor>(context_, peer.release()));
  }
}

boost::asio::awaitable<void> control_socket::hand_over(std::shared_ptr<descriptor> peer) {
  current_ = peer;
  const std::string request = co_await receive(peer, answer_patience);
  if (is_closing_ || request.empty()) co_return;  // it only looked whether somebody is here
  if (request != control_take_over) {
    owner_.refused("a request this version does not know");
    co_return;
  }
  if (!offer(peer->native_handle())) {
    owner_.refused("the successor did not take the listeners");
    co_return;
  }
  const std::string answer = co_await receive(peer, start_patience);
  if (is_closing_) co_return;
  if (answer != control_ready) {
    owner_.refused("the successor did not become ready; this process serves on");
    co_return;
  }
  const pid_t successor = process_of(peer->native_handle());
  // From here on it is the successor's file and service, whether or not it hears the answer.
  static_cast<void>(pass(peer->native_handle(), control_draining));
  close();
  owner_.handed_over(successor);
}

bool control_socket::offer(int peer) const {
  const std::vector<int> open = owner_.open_listeners();
  const std::span<const int> all{open};
  for (std::size_t at = 0; at < all.size(); at += most_passed_descriptors) {
    const std::size_t count = std::min(most_passed_descriptors, all.size() - at);
    if (!pass(peer, control_public, all.subspan(at, count))) return false;
  }
  const std::vector<int> internal = owner_.internal_listeners();
  return (internal.empty() || pass(peer, control_internal, internal)) && pass(peer, control_all);
}

boost::asio::awaitable<std::string> control_socket::receive(std::shared_ptr<descriptor> peer,
                                                            std::chrono::seconds patience) {
  patience_.expires_after(patience);
  patience_.async_wait([peer](const boost::system::error_code& cancelled) {
    boost::system::error_code ignored;
    if (!cancelled) peer->cancel(ignored);
  });
  const auto [failure] = co_await peer->async_wait(descriptor::wait_read, async::tuple_await);
  patience_.cancel();
  if (failure) co_return std::string{};
  auto got = receive_passed(peer->native_handle());
  if (!got) co_return std::string{};
  co_return std::move(got->text);
}

}  // namespace pam::runtime
