#include "server/net/http_server.hpp"

#include <stdexcept>
#include <utility>

#include "server/net/detail/connection_set.hpp"

namespace pam::net {

void throw_exception_from_error(const listen_error& failure, const boost::source_location&) {
  throw std::runtime_error(failure.message);
}

struct http_server::impl {
  std::shared_ptr<detail::connection_set> connections;
};

http_server::http_server(boost::asio::io_context& context, listener_config where, limits bounds,
                         const tls_context* tls, service& application)
    : impl_(std::make_unique<impl>()) {
  impl_->connections =
      std::make_shared<detail::connection_set>(context, std::move(where), bounds, tls, application);
}

http_server::~http_server() {
  impl_->connections->shut_down();
}

boost::system::result<void, listen_error> http_server::listen() {
  return impl_->connections->listen();
}

boost::system::result<void, listen_error> http_server::adopt(unique_fd listening) {
  return impl_->connections->adopt(std::move(listening));
}

std::span<const unique_fd> http_server::listeners() const {
  return impl_->connections->listeners();
}

std::uint16_t http_server::port() const {
  return impl_->connections->port();
}

void http_server::start() {
  impl_->connections->start();
}

void http_server::use(const tls_context* tls) {
  impl_->connections->use(tls);
}

boost::asio::awaitable<void> http_server::drain(async::deadline deadline, backlog waiting) {
  return impl_->connections->drain(deadline, waiting);
}

const net_statistics& http_server::stats() const {
  return impl_->connections->stats;
}

}  // namespace pam::net
