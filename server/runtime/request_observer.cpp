#include "server/runtime/request_observer.hpp"

#include <chrono>
#include <exception>

#include "server/api/routes.hpp"

namespace pam::runtime {

request_observer::request_observer(logger& log) : log_(log) {
  for (const net::route& route : api::all_routes()) routes_.try_emplace(route.pattern);
  routes_.try_emplace("");
}

void request_observer::finished(const net::request_context& request, bool was_sent) noexcept {
  const auto elapsed = std::chrono::steady_clock::now() - request.started;
  auto found = routes_.find(request.route);
  if (found == routes_.end()) found = routes_.find("");
  const std::size_t status_class = was_sent && request.out.status < 600 ? request.out.status / 100 : 0;
  found->second.by_class[status_class].fetch_add(1, std::memory_order_relaxed);
  found->second.latency.record(elapsed);
  if (!log_.is_enabled(log_level::info)) return;
  try {
    // The path and query are the client's and may carry a token: the pattern names the request instead.
    log_.info("request",
              {{"request_id", request.id()},
               {"method", net::to_string(request.verb)},
               {"route", request.route},
               {"status", request.out.status},
               {"duration_us", std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count()},
               {"bytes", request.out.body.size()},
               {"peer", request.peer.to_string()},
               {"sent", was_sent}});
  } catch (const std::exception&) {
    // The answer has left; a line that cannot be formatted for want of memory must not end the server.
    return;
  }
}

void request_observer::failed(const net::request_context& request, std::string_view what,
                              std::string_view detail) noexcept {
  try {
    log_.error("request_failed",
               {{"request_id", request.id()}, {"route", request.route}, {"what", what}, {"detail", detail}});
  } catch (const std::exception&) {
    return;
  }
}

void request_observer::administered(const net::request_context& request, std::string_view actor,
                                    std::string_view action) noexcept {
  try {
    log_.warn("administered",
              {{"request_id", request.id()}, {"route", request.route}, {"actor", actor}, {"action", action}});
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace pam::runtime
