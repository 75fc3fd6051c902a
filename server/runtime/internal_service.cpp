#include "server/runtime/internal_service.hpp"

#include <array>
#include <exception>

#include "server/net/router.hpp"

namespace pam::runtime {
namespace {

constexpr std::array internal_routes{
    net::route{net::method::get, "/livez", net::cost_class::free, 0},
    net::route{net::method::get, "/readyz", net::cost_class::free, 1},
    net::route{net::method::get, "/metrics", net::cost_class::free, 2},
};

}  // namespace

internal_service::internal_service(const std::vector<std::unique_ptr<shard>>& shards,
                                   const crypto::hash_pool& hashes, const logger& log,
                                   const observation& observed, const std::atomic<bool>& is_draining,
                                   const std::unique_ptr<net::http_server>& own)
    : shards_(shards),
      hashes_(hashes),
      log_(log),
      observed_(observed),
      is_draining_(is_draining),
      own_(own) {}

boost::asio::awaitable<void> internal_service::serve(net::request_context& request) {
  const net::route_match found = net::match(internal_routes, request.verb, request.path);
  request.out.content_type = "text/plain; charset=utf-8";
  if (found.outcome == net::route_match::kind::not_found) {
    request.out.status = 404;
    request.out.body = "try /livez, /readyz or /metrics\n";
  } else if (found.outcome == net::route_match::kind::method_not_allowed) {
    request.out.status = 405;
    request.out.set("Allow", found.allow);
    request.out.body = "only " + found.allow + "\n";
  } else if (found.route->index == 0) {
    request.out.body = "ok\n";
  } else if (found.route->index == 1) {
    answer_readiness(request);
  } else {
    request.out.content_type = metrics_writer::content_type;
    request.out.body = render_metrics(shards_, hashes_, log_, observed_, own_->stats());
  }
  co_return;
}

void internal_service::answer_readiness(net::request_context& request) const {
  std::string reason;
  if (is_draining_.load(std::memory_order_relaxed)) {
    reason = "draining";
  } else {
    for (const auto& each : shards_) {
      if (!each->is_ready()) reason = "database_unavailable";
    }
  }
  if (reason.empty()) {
    request.out.body = "ok\n";
    if (!shards_.empty() && shards_.front()->upkeep() != nullptr)
      request.out.body += readiness_notes(shards_.front()->upkeep()->stats());
    return;
  }
  request.out.status = 503;
  request.out.body = reason + "\n";
}

void internal_service::refuse(net::request_context& request, unsigned status, std::string_view,
                              std::string_view detail) noexcept {
  request.out.status = status;
  try {
    request.out.content_type = "text/plain; charset=utf-8";
    request.out.body = detail;
  } catch (const std::exception&) {
    request.out.body.clear();
  }
}

}  // namespace pam::runtime
