#pragma once

#include <openssl/bio.h>
#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "server/net/http_server.hpp"
#include "server/net/service.hpp"

namespace pam::net::test {

/// 1 MiB without repetition: a part that is lost, doubled or out of place shows.
[[nodiscard]] std::shared_ptr<const std::string> numbered_document();

/// Answers by path: /hello, /echo (the body), /wait (until released), /big (1 MiB), /document (1 MiB,
/// shared), /throw, /close, /no-content, /missing/... (404 with the path). Without a coroutine: /at-once/...,
/// /at-once-throw.
class test_service : public service {
 public:
  struct report {
    std::string path;
    unsigned status;
    bool was_sent;
  };

  explicit test_service(boost::asio::io_context& context)
      : released_(context, boost::asio::steady_timer::time_point::max()) {}

  bool serve_at_once(request_context& request) override;
  boost::asio::awaitable<void> serve(request_context& request) override;
  void refuse(request_context& request, unsigned status, std::string_view code,
              std::string_view detail) noexcept override;
  void finished(const request_context& request, bool was_sent) noexcept override;
  void shedding(std::size_t connections) noexcept override { told_of_shedding.push_back(connections); }

  // On the shard only.
  void release();
  const std::shared_ptr<const std::string> document = numbered_document();
  std::function<void()> on_request_at_once;  ///< may be empty
  unsigned refuses_with = 0;                 ///< status of every refusal; 0: the one that is asked for
  std::vector<report> reports;
  std::vector<std::size_t> told_of_shedding;
  std::size_t waiting = 0;
  std::string last_header;  ///< value of X-Test of the last request served
  std::string last_path;
  std::string last_query;
  /// Where the stack stood in each serve(): highest and lowest address.
  std::uintptr_t highest_stack = 0;
  std::uintptr_t lowest_stack = UINTPTR_MAX;

 private:
  bool is_released_ = false;
  boost::asio::steady_timer released_;
};

/// A server on 127.0.0.1 that runs in a thread of its own for as long as the object lives.
class running_server {
 public:
  explicit running_server(limits bounds = {}, const tls_context* tls = nullptr,
                          std::string address = "127.0.0.1");
  running_server(const listener_config& where, const limits& bounds);
  /// On sockets that listen already.
  explicit running_server(std::vector<unique_fd> listening);
  ~running_server();
  running_server(const running_server&) = delete;
  running_server& operator=(const running_server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] const net_statistics& stats() const { return server_->stats(); }
  [[nodiscard]] test_service& service() { return service_; }
  [[nodiscard]] http_server& server() { return *server_; }

  /// Runs `work` on the shard and returns its result.
  template <class Work>
  auto on_shard(Work work) {
    std::packaged_task<decltype(work())()> task(std::move(work));
    auto outcome = task.get_future();
    boost::asio::post(context_, std::move(task));
    return outcome.get();
  }
  [[nodiscard]] std::vector<test_service::report> reports() {
    return on_shard([this] { return service_.reports; });
  }
  void release() {
    on_shard([this] { service_.release(); });
  }
  /// Waits until a handler of /wait runs.
  void await_waiting(std::size_t count = 1);
  /// Keeps the shard busy from now until the returned promise is set.
  [[nodiscard]] std::promise<void> hold_shard();
  /// Begins to drain; the future is ready when it is over.
  std::future<void> drain(std::chrono::milliseconds budget, backlog waiting = backlog::served);

 private:
  void start();

  boost::asio::io_context context_{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{context_.get_executor()};
  test_service service_{context_};
  std::unique_ptr<http_server> server_;
  std::uint16_t port_ = 0;
  std::thread thread_;
};

/// Waits for a condition; false after ten seconds.
bool eventually(const std::function<bool()>& condition);

struct answer {
  unsigned status = 0;
  std::string head;
  std::string body;

  [[nodiscard]] std::string header(std::string_view name) const;
};

/// What a TLS client wants to be.
struct tls_wishes {
  int least_version = 0;
  int most_version = 0;
  std::string alpn = {};  ///< wire format; empty: none
  SSL_SESSION* session = nullptr;
};

/// A blocking client that sees bytes. Reads give up after ten seconds, so that a failing test ends.
class client {
 public:
  explicit client(std::uint16_t port, int receive_buffer = 0) : client() {
    prepare(receive_buffer);
    connect(port);
  }
  /// Not connected yet, but with its descriptor.
  client() { prepare(0); }
  void connect(std::uint16_t port);
  /// With TLS; check `is_established()`.
  client(std::uint16_t port, const tls_wishes& wishes);
  ~client();
  client(const client&) = delete;
  client& operator=(const client&) = delete;

  void send(std::string_view bytes);
  /// Sends a GET and reads the answer.
  answer get(std::string_view path, std::string_view more_headers = "");
  /// Reads one answer; status 0 when the connection ended before one.
  /// @param is_head  the answer to a HEAD has no body
  answer read_answer(bool is_head = false);
  std::string read_some();
  /// True once the server has closed (everything before is dropped).
  bool is_closed_by_server();
  void shutdown_sending();
  void reset();  ///< closes with RST

  [[nodiscard]] bool has_bytes() const;  ///< something to read, without waiting
  [[nodiscard]] bool is_connected() const { return fd_ >= 0; }
  [[nodiscard]] bool is_established() const { return is_established_; }
  [[nodiscard]] SSL* ssl() const { return ssl_; }
  [[nodiscard]] std::string peer_name() const;  ///< common name of the server's certificate

 private:
  void prepare(int receive_buffer);
  bool fill();

  int fd_ = -1;
  SSL_CTX* context_ = nullptr;
  SSL* ssl_ = nullptr;
  bool is_established_ = false;
  std::string buffer_;
};

/// A TLS client whose bytes leave as the test says.
class by_hand {
 public:
  by_hand() {
    SSL_set_bio(side_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(side_.get());
  }
  SSL* ssl() { return side_.get(); }
  /// What it wants to send now.
  std::string bytes() {
    std::string taken(BIO_ctrl_pending(SSL_get_wbio(ssl())), '\0');
    BIO_read(SSL_get_wbio(ssl()), taken.data(), static_cast<int>(taken.size()));
    return taken;
  }
  void receive(std::string_view bytes) {
    BIO_write(SSL_get_rbio(ssl()), bytes.data(), static_cast<int>(bytes.size()));
  }

 private:
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_{SSL_CTX_new(TLS_client_method()), &SSL_CTX_free};
  std::unique_ptr<SSL, decltype(&SSL_free)> side_{SSL_new(context_.get()), &SSL_free};
};

/// Sends 3,000 requests at once, none of which suspends: every answer comes, in order, and no request is
/// served deeper in the stack than the others.
void expect_flat_pipelining(running_server& server, client& peer);

}  // namespace pam::net::test
