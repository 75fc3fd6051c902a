#include "db/tests/citus_stand_in.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace pam::db::testing {

namespace {

bool send_all(int to, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool receive(int from, std::string& into, std::size_t count) {
  const std::size_t begin = into.size();
  into.resize(begin + count);
  for (std::size_t done = 0; done < count;) {
    const ssize_t got = ::recv(from, into.data() + begin + done, count - done, 0);
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

std::size_t length_at(const std::string& message, std::size_t at) {
  std::size_t length = 0;
  for (std::size_t i = 0; i < 4; ++i) length = length << 8U | static_cast<unsigned char>(message[at + i]);
  return length;
}

// One message with its type byte (PostgreSQL documentation, 55.7).
bool receive_message(int from, std::string& into) {
  into.clear();
  return receive(from, into, 5) && receive(from, into, length_at(into, 1) - 4);
}

const std::string sync_message{"S\0\0\0\4", 5};
const std::string idle_message{"Z\0\0\0\5I", 6};

/// The conversation of one client.
class conversation {
 public:
  conversation(int client, int server) : client_(client), server_(server) {}

  void hold() {
    std::string message;
    if (!receive(client_, message, 4) || !receive(client_, message, length_at(message, 0) - 4)) return;
    if (!send_all(server_, message) || !answer(true)) return;
    while (receive_message(client_, message) && take(message)) {
    }
  }

 private:
  bool take(const std::string& message) {
    switch (message.front()) {
      case 'X':
        return false;
      case 'Q':
        return send_all(server_, message) && answer(true);
      case 'E':
        pending_ += message;
        return run_pending();
      case 'S': {
        const bool is_alive = pending_.empty() || run_pending();
        has_failed_ = false;
        return is_alive && send_all(client_, idle_message);
      }
      default:
        pending_ += message;
        return true;
    }
  }
  // A transaction of its own, unless one before it in the batch has failed.
  bool run_pending() {
    const std::string statement = std::exchange(pending_, {});
    return has_failed_ || (send_all(server_, statement + sync_message) && answer(false));
  }
  // Passes on what the server says until it is ready again.
  bool answer(bool is_ready_passed_on) {
    std::string message;
    while (receive_message(server_, message)) {
      const bool is_ready = message.front() == 'Z';
      if (message.front() == 'E') has_failed_ = true;
      if ((!is_ready || is_ready_passed_on) && !send_all(client_, message)) return false;
      if (is_ready && is_ready_passed_on) has_failed_ = false;
      if (is_ready) return true;
    }
    return false;
  }

  int client_;
  int server_;
  std::string pending_;
  bool has_failed_ = false;
};

}  // namespace

citus_stand_in::citus_stand_in(std::string socket_dir, std::uint16_t postgres_port)
    : socket_path_(std::move(socket_dir) + "/.s.PGSQL." + std::to_string(postgres_port)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (listener_ < 0 || ::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("the stand-in cannot listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread{[this] { accept_all(); }};
}

citus_stand_in::~citus_stand_in() {
  {
    const std::lock_guard lock{mutex_};
    is_closing_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    for (const link& one : links_) {
      ::shutdown(one.client, SHUT_RDWR);
      ::shutdown(one.server, SHUT_RDWR);
    }
  }
  acceptor_.join();
  for (link& one : links_) {
    one.worker.join();
    ::close(one.client);
    ::close(one.server);
  }
  ::close(listener_);
}

int citus_stand_in::connect_to_server() const {
  const int server = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  socket_path_.copy(address.sun_path, sizeof address.sun_path - 1);
  if (::connect(server, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return server;
  ::close(server);
  return -1;
}

void citus_stand_in::accept_all() {
  while (true) {
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) return;
    const int server = connect_to_server();
    const std::lock_guard lock{mutex_};
    if (server < 0 || is_closing_) {
      ::close(client);
      if (server >= 0) ::close(server);
      continue;
    }
    // An answer is several small messages: the second would wait 40 ms for the client's delayed ACK.
    const int yes = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    link& one = links_.emplace_back();
    one.client = client;
    one.server = server;
    one.worker = std::jthread{[client, server] {
      conversation{client, server}.hold();
      // Either end has gone; the numbers are closed when nobody can use them any more.
      ::shutdown(client, SHUT_RDWR);
      ::shutdown(server, SHUT_RDWR);
    }};
  }
}

}  // namespace pam::db::testing
