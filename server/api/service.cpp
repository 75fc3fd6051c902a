#include "server/api/service.hpp"

#include <exception>
#include <utility>

#include "protocol/problem.hpp"
#include "server/api/answers.hpp"
#include "server/api/cors.hpp"
#include "server/api/routes.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

protocol::problem problem_of(const protocol::error_code& code, std::string detail) {
  protocol::problem what;
  what.code = &code;
  what.detail = std::move(detail);
  return what;
}

/// One admitted request; leaving the scope frees its place.
class admitted_request {
 public:
  explicit admitted_request(admission_statistics& of) : of_(of) {
    of_.in_flight.fetch_add(1, std::memory_order_relaxed);
  }
  admitted_request(const admitted_request&) = delete;
  admitted_request& operator=(const admitted_request&) = delete;
  ~admitted_request() { of_.in_flight.fetch_sub(1, std::memory_order_relaxed); }

 private:
  admission_statistics& of_;
};

/// The codes the network layer refuses with, by their names.
const protocol::error_code& code_named(std::string_view name, unsigned status) {
  if (name == codes::request_entity_too_large.code) return codes::request_entity_too_large;
  if (name == codes::over_capacity.code) return codes::over_capacity;
  if (name == codes::request_timeout.code) return codes::request_timeout;
  return status >= 500 ? codes::unexpected_failure : codes::bad_request;
}

}  // namespace

service::service(settings how, auth::accounts& accounts, auth::sessions& sessions,
                 const auth::access_tokens& tokens, observer& watcher)
    : how_(std::move(how)), accounts_(accounts), sessions_(sessions), tokens_(tokens), watcher_(watcher) {}

boost::asio::awaitable<void> service::serve(net::request_context& request) {
  if (request.verb == net::method::options && request.has_header("origin")) {
    answer_preflight(how_.cors_origins, request);
  } else {
    co_await dispatch(request);
  }
  add_cors(how_.cors_origins, request);
  if (wants_string_codes(request)) request.out.set("x-supabase-api-version", "2024-01-01");
}

boost::asio::awaitable<void> service::dispatch(net::request_context& request) {
  const net::route_match found = match_route(how_.prefix, request);
  if (found.outcome == net::route_match::kind::not_found) {
    answer(*this, request, problem_of(codes::not_found, "There is no such path."));
    co_return;
  }
  if (found.outcome == net::route_match::kind::method_not_allowed) {
    request.out.set("Allow", found.allow);
    answer(*this, request,
           problem_of(codes::method_not_allowed, "This path answers to " + found.allow + "."));
    co_return;
  }
  request.route = found.route->pattern;
  request.path_parameters = found.parameters;

  const net::cost_class cost = cost_of(*found.route, request);
  admission_statistics& place = admission_[static_cast<std::size_t>(cost)];
  if (place.in_flight.load(std::memory_order_relaxed) >=
      how_.in_flight_limits[static_cast<std::size_t>(cost)]) {
    place.refused.fetch_add(1, std::memory_order_relaxed);
    protocol::problem full =
        problem_of(codes::over_capacity, "Too many requests are in flight; try again shortly.");
    full.reason = net::to_string(cost);
    answer(*this, request, std::move(full));
    co_return;
  }
  const admitted_request admitted{place};
  co_await handler_of(found.route->index)(*this, request);
}

void service::refuse(net::request_context& request, unsigned status, std::string_view code,
                     std::string_view detail) noexcept {
  try {
    protocol::problem what = problem_of(code_named(code, status), std::string{detail});
    what.status = status;
    answer(*this, request, std::move(what));
    add_cors(how_.cors_origins, request);
  } catch (const std::exception& failure) {
    // Out of memory while refusing: a bare status is still an answer.
    request.out = net::response{};
    request.out.status = status;
    watcher_.failed(request, "refuse", failure.what());
  }
}

void service::finished(const net::request_context& request, bool was_sent) noexcept {
  watcher_.finished(request, was_sent);
}

}  // namespace pam::api
