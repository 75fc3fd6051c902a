// The floor of `./dev bench net`: what epoll and OpenSSL alone cost a request. It reads until an empty line
// and writes the same bytes again; no time limit, no parsing, no counters, nobody else's loop. TLS policy and
// kept buffers are the product's own, and so are its habits: edge-triggered, no read after a short one, one
// write.
//
//   net_floor --port 8443 --certificate FILE --key FILE --answer FILE
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "server/net/tls.hpp"
#include "server/net/tls_buffers.hpp"
#include "server/net/unique_fd.hpp"

namespace pam::bench {
namespace {

struct ssl_delete {
  void operator()(SSL* gone) const { SSL_free(gone); }
};

struct connection {
  net::unique_fd socket;
  std::unique_ptr<SSL, ssl_delete> ssl;
};

int checked(int outcome, const char* what) {
  if (outcome < 0) throw std::system_error(errno, std::generic_category(), what);
  return outcome;
}

class floor_server {
 public:
  floor_server(std::uint16_t port, const net::tls_context& tls, std::string answer)
      : tls_(tls),
        answer_(std::move(answer)),
        epoll_(checked(::epoll_create1(EPOLL_CLOEXEC), "epoll_create1")) {
    constexpr int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
    listener_.reset(checked(::socket(AF_INET, kind, 0), "socket"));
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_port = htons(port);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    checked(::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&here), sizeof(here)), "bind");
    checked(::listen(listener_.get(), 4096), "listen");
    watch(listener_.get(), nullptr);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 128> ready;
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), -1);
      for (int i = 0; i < count; ++i) {
        auto* const from = static_cast<connection*>(ready[static_cast<std::size_t>(i)].data.ptr);
        if (from == nullptr) {
          accept_one();
        } else if (!serve(*from)) {
          delete from;
        }
      }
    }
  }

 private:
  void watch(int descriptor, connection* of) {
    epoll_event event{};
    event.events = of == nullptr ? EPOLLIN : EPOLLIN | EPOLLET;
    event.data.ptr = of;
    checked(::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
  }

  void accept_one() {
    net::unique_fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!socket) return;
    auto made = std::make_unique<connection>();
    made->ssl.reset(SSL_new(tls_.native()));
    if (!made->ssl || SSL_set_fd(made->ssl.get(), socket.get()) != 1)
      throw std::runtime_error("no SSL object");
    SSL_set_accept_state(made->ssl.get());
    made->socket = std::move(socket);
    watch(made->socket.get(), made.get());
    static_cast<void>(made.release());  // until serve() says that it has ended
  }

  /// Requests and answers are small: one read has the former, the socket has room for the latter.
  /// @return false: the connection has ended
  bool serve(connection& from) {
    SSL* const ssl = from.ssl.get();
    if (ERR_peek_error() != 0) ERR_clear_error();
    std::size_t got = 0;
    if (SSL_read_ex(ssl, room_.data(), room_.size(), &got) != 1) {
      return SSL_get_error(ssl, 0) == SSL_ERROR_WANT_READ;
    }
    if (!std::string_view(room_.data(), got).ends_with("\r\n\r\n")) return false;
    std::size_t put = 0;
    return SSL_write_ex(ssl, answer_.data(), answer_.size(), &put) == 1;
  }

  const net::tls_context& tls_;
  std::string answer_;
  net::unique_fd epoll_;
  net::unique_fd listener_;
  std::array<char, 4096> room_;
};

std::string read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) throw std::runtime_error("no file " + name);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace
}  // namespace pam::bench

int main(int argc, char** argv) {
  pam::net::keep_tls_buffers();
  std::uint16_t port = 0;
  std::string answer;
  pam::net::tls_config files;
  CLI::App app{"What epoll and OpenSSL alone cost a request"};
  app.add_option("--port", port)->required();
  app.add_option("--certificate", files.certificate_file)->required();
  app.add_option("--key", files.private_key_file)->required();
  app.add_option("--answer", answer, "file with the bytes of the whole answer")->required();
  CLI11_PARSE(app, argc, argv);
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const pam::net::tls_context tls = pam::net::tls_context::load(files).value();
    pam::bench::floor_server(port, tls, pam::bench::read_file(answer)).run();
  } catch (const std::exception& failure) {
    std::fputs(fmt::format("net_floor: {}\n", failure.what()).c_str(), stderr);
    return 1;
  }
}
