// The network layer with a handler that says what it read, for tests that compare it with other servers.
// Prints the port it listens on and runs until it is told to end. Every request is answered 200 with the
// field X-Read: method, target, the body's length and the first 16 hexadecimal digits of its SHA-256.
#include <csignal>

#include <chrono>
#include <cstddef>
#include <iostream>
#include <string>

#include <openssl/evp.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

#include "server/net/http_server.hpp"

namespace {

using namespace pam::net;

std::string digest_of(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE] = {};
  if (EVP_Digest(text.data(), text.size(), digest, nullptr, EVP_sha256(), nullptr) != 1) return "none";
  std::string hex;
  for (std::size_t i = 0; i < 8; ++i) {
    hex += "0123456789abcdef"[digest[i] >> 4];
    hex += "0123456789abcdef"[digest[i] & 0xf];
  }
  return hex;
}

class reading_service final : public service {
 public:
  bool serve_at_once(request_context& request) override {
    request.out.content_type = "text/plain";
    request.out.body = "read";
    // A method the server has no name for is told apart by nobody here.
    request.out.set("X-Read", std::string{to_string(request.verb)} + " " + std::string{request.target} + " " +
                                  std::to_string(request.body.size()) + " " + digest_of(request.body));
    return true;
  }
  boost::asio::awaitable<void> serve(request_context& request) override {
    serve_at_once(request);
    co_return;
  }
  void refuse(request_context& request, unsigned status, std::string_view code,
              std::string_view /*detail*/) noexcept override {
    request.out.status = status;
    request.out.body = code;
  }
  void finished(const request_context& /*request*/, bool /*was_sent*/) noexcept override {}
};

}  // namespace

int main() {
  using std::chrono::seconds;
  boost::asio::io_context context{1};
  reading_service service;
  limits bounds;
  bounds.header = bounds.body = bounds.keep_alive = seconds{1};
  listener_config where;
  where.port = 0;
  where.is_tls = false;
  http_server server{context, where, bounds, nullptr, service};
  if (const auto bound = server.listen(); bound.has_error()) {
    std::cerr << bound.error().message << '\n';
    return 1;
  }
  server.start();
  std::cout << server.port() << std::endl;
  boost::asio::signal_set ends{context, SIGTERM, SIGINT};
  ends.async_wait([&context](const boost::system::error_code&, int) { context.stop(); });
  context.run();
  return 0;
}
