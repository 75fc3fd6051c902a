#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>

#include "async/tuple_await.hpp"
#include "db/config.hpp"

namespace pam::db::testing {

/// A TCP proxy on loopback in front of a server's Unix socket, that fails as networks do: it forwards,
/// swallows everything (connections stay open, nothing arrives, new ones are accepted and never served),
/// swallows on the connections it has and serves new ones (half-open), or refuses.
class stalling_proxy {
 public:
  enum class mode : std::uint8_t { forward, swallow, refuse };

  stalling_proxy(boost::asio::io_context& context, std::string target)
      : state_(std::make_shared<state>(context, std::move(target))) {
    boost::asio::co_spawn(context, accept(state_), boost::asio::detached);
  }
  stalling_proxy(const stalling_proxy&) = delete;
  stalling_proxy& operator=(const stalling_proxy&) = delete;
  ~stalling_proxy() {
    boost::system::error_code ignored;
    state_->acceptor.close(ignored);
    cut();
  }

  [[nodiscard]] endpoint where() const {
    endpoint its;
    its.host = "127.0.0.1";
    its.port = state_->acceptor.local_endpoint().port();
    return its;
  }
  [[nodiscard]] std::size_t attempts() const { return state_->attempts; }

  /// What happens to new connections, and to those there are.
  void set(mode next) {
    state_->now = next;
    if (next == mode::refuse) cut();
    if (next == mode::swallow) swallow_open();
  }
  /// What is open now arrives nowhere any more, like behind a router that forgot it.
  void swallow_open() {
    for (const auto& weak : state_->open) {
      if (const auto one = weak.lock()) one->is_swallowed = true;
    }
  }
  /// Ends every connection there is.
  void cut() {
    state_->swallowed.clear();
    for (const auto& weak : state_->open) {
      if (const auto one = weak.lock()) one->close();
    }
    state_->open.clear();
  }
  void lead_to(std::string target) { state_->target = std::move(target); }

 private:
  using tcp = boost::asio::ip::tcp;
  using local = boost::asio::local::stream_protocol;

  struct link {
    explicit link(boost::asio::io_context& context) : client(context), server(context) {}
    tcp::socket client;
    local::socket server;
    bool is_swallowed = false;
    void close() {
      boost::system::error_code ignored;
      client.close(ignored);
      server.close(ignored);
    }
  };
  struct state {
    state(boost::asio::io_context& where, std::string whom)
        : context(where),
          acceptor(where, tcp::endpoint{boost::asio::ip::address_v4::loopback(), 0}),
          target(std::move(whom)) {}
    boost::asio::io_context& context;
    tcp::acceptor acceptor;
    std::string target;
    mode now = mode::forward;
    std::size_t attempts = 0;
    std::vector<std::weak_ptr<link>> open;
    std::vector<std::shared_ptr<link>> swallowed;  ///< kept open
  };

  static boost::asio::awaitable<void> accept(std::shared_ptr<state> its) {
    while (true) {
      auto next = std::make_shared<link>(its->context);
      const auto [failure] = co_await its->acceptor.async_accept(next->client, async::tuple_await);
      if (failure) co_return;
      ++its->attempts;
      if (its->now == mode::refuse) continue;
      its->open.push_back(next);
      if (its->now == mode::swallow) {
        next->is_swallowed = true;
        its->swallowed.push_back(next);
        continue;
      }
      const auto [lost] =
          co_await next->server.async_connect(local::endpoint{its->target}, async::tuple_await);
      if (lost) continue;
      boost::asio::co_spawn(its->context, pump(its, next, true), boost::asio::detached);
      boost::asio::co_spawn(its->context, pump(its, next, false), boost::asio::detached);
    }
  }

  static boost::asio::awaitable<void> pump(std::shared_ptr<state> its, std::shared_ptr<link> on,
                                           bool to_server) {
    std::array<char, 16 * 1024> bytes{};
    while (true) {
      boost::system::error_code failure;
      std::size_t count = 0;
      if (to_server) {
        std::tie(failure, count) =
            co_await on->client.async_read_some(boost::asio::buffer(bytes), async::tuple_await);
      } else {
        std::tie(failure, count) =
            co_await on->server.async_read_some(boost::asio::buffer(bytes), async::tuple_await);
      }
      if (on->is_swallowed) {
        // Neither side learns of the other's end either.
        its->swallowed.push_back(on);
        if (failure) co_return;
        continue;
      }
      if (!failure && to_server) {
        std::tie(failure, count) = co_await boost::asio::async_write(
            on->server, boost::asio::buffer(bytes.data(), count), async::tuple_await);
      } else if (!failure) {
        std::tie(failure, count) = co_await boost::asio::async_write(
            on->client, boost::asio::buffer(bytes.data(), count), async::tuple_await);
      }
      if (failure) {
        on->close();
        co_return;
      }
    }
  }

  std::shared_ptr<state> state_;
};

}  // namespace pam::db::testing
