#include "server/net/tests/server_fixture.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include "async/tuple_await.hpp"

namespace pam::net::test {
namespace {

void change_sigpipe(int how) {
  sigset_t set{};
  ::sigemptyset(&set);
  ::sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(how, &set, nullptr);
}

}  // namespace

std::shared_ptr<const std::string> numbered_document() {
  constexpr std::size_t bytes = 1024 * 1024;
  std::string text;
  for (std::size_t i = 0; text.size() < bytes; ++i) text += std::to_string(i) + ' ';
  text.resize(bytes);
  return std::make_shared<const std::string>(std::move(text));
}

bool test_service::serve_at_once(request_context& request) {
  if (request.path == "/at-once-throw") throw std::runtime_error("secret detail");
  if (!request.path.starts_with("/at-once/")) return false;
  const auto stack = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  highest_stack = std::max(highest_stack, stack);
  lowest_stack = std::min(lowest_stack, stack);
  if (on_request_at_once) on_request_at_once();
  request.out.body = "at once " + std::string(request.path);
  return true;
}

boost::asio::awaitable<void> test_service::serve(request_context& request) {
  // A coroutine's own variables stand on the heap.
  const auto stack = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  highest_stack = std::max(highest_stack, stack);
  lowest_stack = std::min(lowest_stack, stack);
  last_header = request.header("x-test");
  last_path = request.path;
  last_query = request.query;
  request.out.content_type = "text/plain";
  if (request.path == "/wait") {
    ++waiting;
    while (!is_released_) co_await released_.async_wait(async::tuple_await);
    request.out.body = "waited";
  } else if (request.path == "/echo") {
    request.out.body = request.body;
  } else if (request.path == "/big") {
    request.out.body.assign(1024 * 1024, 'b');
  } else if (request.path == "/document") {
    request.out.document = document;
  } else if (request.path == "/throw") {
    throw std::runtime_error("secret detail");
  } else if (request.path == "/close") {
    request.out.body = "bye";
    request.out.close = true;
  } else if (request.path == "/no-content") {
    request.out.status = 204;
  } else if (request.path.starts_with("/missing/")) {
    request.out.status = 404;
    request.out.body = request.path;
  } else {
    request.out.body = "hello " + std::string(request.path);
  }
}

void test_service::refuse(request_context& request, unsigned status, std::string_view code,
                          std::string_view detail) noexcept {
  request.out.status = refuses_with != 0 ? refuses_with : status;
  request.out.content_type = "text/plain";
  request.out.body = std::string(code) + ": " + std::string(detail);
}

void test_service::finished(const request_context& request, bool was_sent) noexcept {
  reports.push_back({std::string(request.path), request.out.status, was_sent});
}

void test_service::release() {
  is_released_ = true;
  released_.cancel();
}

running_server::running_server(limits bounds, const tls_context* tls, std::string address) {
  listener_config where;
  where.address = std::move(address);
  where.port = 0;
  where.is_tls = tls != nullptr;
  server_ = std::make_unique<http_server>(context_, where, bounds, tls, service_);
  server_->listen().value();
  start();
}

running_server::running_server(const listener_config& where, const limits& bounds) {
  server_ = std::make_unique<http_server>(context_, where, bounds, nullptr, service_);
  server_->listen().value();
  start();
}

running_server::running_server(std::vector<unique_fd> listening) {
  server_ = std::make_unique<http_server>(context_, listener_config{}, limits{}, nullptr, service_);
  for (unique_fd& each : listening) server_->adopt(std::move(each)).value();
  start();
}

void running_server::start() {
  port_ = server_->port();
  server_->start();
  thread_ = std::thread([this] {
    // The server must never raise it, however its peers leave: if it did, the test would die here.
    change_sigpipe(SIG_UNBLOCK);
    context_.run();
  });
}

running_server::~running_server() {
  on_shard([this] { service_.release(); });
  // Destroyed on the shard without a drain: that must be safe too.
  on_shard([this] { server_.reset(); });
  work_.reset();
  thread_.join();
}

void running_server::await_waiting(std::size_t count) {
  eventually([&] { return on_shard([this] { return service_.waiting; }) >= count; });
}

std::promise<void> running_server::hold_shard() {
  std::promise<void> go;
  std::promise<void> begun;
  boost::asio::post(context_, [&begun, until = go.get_future().share()] {
    begun.set_value();
    until.wait();
  });
  begun.get_future().wait();
  return go;
}

std::future<void> running_server::drain(std::chrono::milliseconds budget, backlog waiting) {
  auto done = std::make_shared<std::promise<void>>();
  auto outcome = done->get_future();
  on_shard([&] {
    boost::asio::co_spawn(context_, server_->drain(async::within(budget), waiting),
                          [done](std::exception_ptr) { done->set_value(); });
  });
  // The drain has begun once its first step ran.
  on_shard([] {});
  on_shard([] {});
  return outcome;
}

bool eventually(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

std::string answer::header(std::string_view name) const {
  const std::string key = "\r\n" + std::string(name) + ": ";
  const std::size_t at = head.find(key);
  if (at == std::string::npos) return {};
  const std::size_t begin = at + key.size();
  return head.substr(begin, head.find("\r\n", begin) - begin);
}

void client::prepare(int receive_buffer) {
  change_sigpipe(SIG_BLOCK);  // OpenSSL's own socket BIO raises it in this thread
  if (fd_ < 0) fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (receive_buffer > 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
  const timeval limit{.tv_sec = 10, .tv_usec = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
}

void client::connect(std::uint16_t port) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  ::inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof(to)) != 0) {
    ::close(fd_);
    fd_ = -1;
  }
}

client::client(std::uint16_t port, const tls_wishes& wishes) : client(port) {
  context_ = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context_, 0);  // lets the test offer what the server must refuse
  SSL_CTX_set_cipher_list(context_, "ALL:@SECLEVEL=0");
  // As clients that keep sessions do: OpenSSL then uses a ticket of TLS 1.3 once.
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL_STORE);
  SSL_CTX_set_min_proto_version(context_, wishes.least_version);
  SSL_CTX_set_max_proto_version(context_, wishes.most_version);
  ssl_ = SSL_new(context_);
  if (!wishes.alpn.empty()) {
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wishes.alpn.data()),
                        static_cast<unsigned>(wishes.alpn.size()));
  }
  if (wishes.session != nullptr) SSL_set_session(ssl_, wishes.session);
  SSL_set_fd(ssl_, fd_);
  is_established_ = SSL_connect(ssl_) == 1;
  ERR_clear_error();
}

client::~client() {
  // Without this OpenSSL calls the session bad and does not offer its ticket again.
  if (is_established_) SSL_shutdown(ssl_);
  SSL_free(ssl_);
  SSL_CTX_free(context_);
  if (fd_ >= 0) ::close(fd_);
}

void client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto put = ssl_ != nullptr ? SSL_write(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                     : ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put <= 0) return;  // the server closed: the following read shows it
    bytes.remove_prefix(static_cast<std::size_t>(put));
  }
}

bool client::fill() {
  std::array<char, 16 * 1024> bytes;
  errno = 0;  // the peer's end leaves it as it is, and is_closed_by_server() tells by it
  const auto got = ssl_ != nullptr ? SSL_read(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                                   : ::recv(fd_, bytes.data(), bytes.size(), 0);
  if (got <= 0) return false;
  buffer_.append(bytes.data(), static_cast<std::size_t>(got));
  return true;
}

answer client::get(std::string_view path, std::string_view more_headers) {
  send("GET " + std::string(path) + " HTTP/1.1\r\nHost: a\r\n" + std::string(more_headers) + "\r\n");
  return read_answer();
}

answer client::read_answer(bool is_head) {
  answer made;
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (!fill()) return made;
  }
  made.head = buffer_.substr(0, end + 2);
  buffer_.erase(0, end + 4);
  made.status = static_cast<unsigned>(std::stoul(made.head.substr(9, 3)));
  const std::string length = made.header("Content-Length");
  const std::size_t size = length.empty() || is_head ? 0 : std::stoul(length);
  while (buffer_.size() < size) {
    if (!fill()) break;
  }
  made.body = buffer_.substr(0, size);
  buffer_.erase(0, size);
  return made;
}

std::string client::read_some() {
  fill();
  return std::exchange(buffer_, {});
}

bool client::is_closed_by_server() {
  while (fill()) {
  }
  buffer_.clear();
  // A time-out of the read means that the connection is still open.
  return ssl_ != nullptr || (errno != EAGAIN && errno != EWOULDBLOCK);
}

bool client::has_bytes() const {
  pollfd watched{.fd = fd_, .events = POLLIN, .revents = 0};
  return ::poll(&watched, 1, 0) == 1;
}

void client::shutdown_sending() {
  ::shutdown(fd_, SHUT_WR);
}

void client::reset() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  ::close(fd_);
  fd_ = -1;
}

std::string client::peer_name() const {
  X509* const certificate = SSL_get1_peer_certificate(ssl_);
  if (certificate == nullptr) return {};
  std::array<char, 128> name{};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name.data(),
                            static_cast<int>(name.size()));
  X509_free(certificate);
  return name.data();
}

void expect_flat_pipelining(running_server& server, client& peer) {
  constexpr int count = 3'000;
  constexpr std::uintptr_t few_frames = 32 * 1024;
  std::string requests;
  for (int i = 0; i < count; ++i) {
    requests += "GET /missing/" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
  }

  peer.send(requests);

  for (int i = 0; i < count; ++i) {
    const answer got = peer.read_answer();
    ASSERT_EQ(got.status, 404u);
    ASSERT_EQ(got.body, "/missing/" + std::to_string(i));
  }
  const auto depth =
      server.on_shard([&] { return server.service().highest_stack - server.service().lowest_stack; });
  EXPECT_LT(depth, few_frames);
}

}  // namespace pam::net::test
