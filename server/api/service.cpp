#include "server/api/service.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <utility>

#include "protocol/problem.hpp"
#include "server/api/answers.hpp"
#include "server/api/conversions.hpp"
#include "server/api/cors.hpp"
#include "server/api/descriptions.hpp"
#include "server/api/oauth.hpp"
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

/// One address may hold a quarter of the places for hashing, so that it cannot shut out everybody else.
std::size_t hash_share(const settings& how) {
  constexpr auto hash = static_cast<std::size_t>(net::cost_class::hash);
  constexpr std::size_t parts = 4;
  if (how.address_rates[hash].burst == 0) return 0;
  return std::max<std::size_t>(how.in_flight_limits[hash] / parts, 1);
}

/// The code a refusal of the network layer is answered with.
const protocol::error_code& code_named(std::string_view name) {
  for (const protocol::error_code* each : codes::all) {
    if (each->code == name) return *each;
  }
  return codes::bad_request;
}

}  // namespace

service::service(settings how, auth::accounts& accounts, auth::sessions& sessions,
                 const auth::access_tokens& tokens, observer& watcher)
    : how_(std::move(how)),
      clients_(how_.oauth_clients),
      openapi_(std::make_shared<const std::string>(openapi_document(how_.prefix, how_.site_url))),
      addresses_(how_.address_rates, hash_share(how_), how_.unlimited_networks),
      accounts_(accounts),
      sessions_(sessions),
      tokens_(tokens),
      verified_(how_.verified_tokens),
      watcher_(watcher),
      places_(how_.in_flight_limits, how_.bearable_wait, how_.busy_database),
      full_{full_answer{net::cost_class::free, how_.site_url},
            full_answer{net::cost_class::read, how_.site_url},
            full_answer{net::cost_class::write, how_.site_url},
            full_answer{net::cost_class::hash, how_.site_url}} {}

bool service::serve_at_once(net::request_context& request) {
  if (!api::answer_at_once(*this, request) && !refuse_at_once(request)) return false;
  add_common_headers(request);
  return true;
}

// A refusal must cost next to nothing of what it refuses: no coroutine, no budget of an address touched.
// Passwords are refused by `admit`, which knows who goes first.
bool service::refuse_at_once(net::request_context& request) {
  if (!places_.may_be_full()) return false;
  const net::route_match found = match_route(how_.prefix, request);
  if (found.outcome != net::route_match::kind::found) return false;
  const net::cost_class cost = cost_of(*found.route, request);
  if (cost != net::cost_class::read && cost != net::cost_class::write) return false;
  if (!places_.is_full(cost)) return false;
  request.route = found.route->pattern;
  answer_full(request, cost);
  return true;
}

boost::asio::awaitable<void> service::serve(net::request_context& request) {
  request.deadline = async::deadline{request.deadline, &request.costs};
  watcher_.began(request);
  if (request.verb == net::method::options && request.has_header("origin")) {
    answer_preflight(how_.cors_origins, request);
  } else {
    co_await answer_any(request);
  }
  add_common_headers(request);
}

void service::add_common_headers(net::request_context& request) const {
  add_cors(how_.cors_origins, request);
  if (wants_string_codes(request)) request.out.set("x-supabase-api-version", "2024-01-01");
}

// An exception is a bug of ours. It is logged whole and answered like any other failure, a refresh with 503.
boost::asio::awaitable<void> service::answer_any(net::request_context& request) {
  try {
    co_await dispatch(request);
    co_return;
  } catch (const std::exception& bug) {
    watcher_.failed(request, "exception", bug.what());
  }
  request.out = net::response{};
  auth::error internal;
  internal.reason = "exception";
  const bool is_token = request.route == "/token";
  answer(*this, request, to_problem(internal, is_token ? origin::token : origin::other));
}

boost::asio::awaitable<void> service::dispatch(net::request_context& request) {
  const net::route_match found = match_route(how_.prefix, request);
  if (found.outcome == net::route_match::kind::not_found) {
    answer(*this, request,
           is_switched_off(how_.prefix, request)
               ? problem_of(codes::feature_disabled, "This server does not offer this.")
               : problem_of(codes::not_found, "There is no such path."));
    co_return;
  }
  if (found.outcome == net::route_match::kind::method_not_allowed) {
    request.out.set("Allow", found.allow);
    if (request.verb == net::method::options) {  // RFC 9110 section 9.3.7
      request.out.status = 204;
      co_return;
    }
    answer(*this, request,
           problem_of(codes::method_not_allowed, "This path answers to " + found.allow + "."));
    co_return;
  }
  request.route = found.route->pattern;
  request.path_parameters = found.parameters;

  const net::cost_class cost = cost_of(*found.route, request);
  // A refresh never gets a 429: auth-js would sign its user out.
  const bool is_refresh = request.route == "/token" && cost != net::cost_class::hash;
  if (!is_refresh) {
    const auto wait = addresses_.take(request.peer, cost, std::chrono::steady_clock::now());
    if (wait.count() > 0) {
      answer_rate_limited(*this, request, std::chrono::ceil<std::chrono::seconds>(wait));
      co_return;
    }
  }
  auto admitted = admit(request, cost);
  if (!admitted) co_return;
  co_await handler_of(found.route->index)(*this, request);
  if (request.out.status == codes::over_capacity.status) admitted->was_refused();
}

std::optional<admitted_request> service::admit(net::request_context& request, net::cost_class cost) {
  std::optional<admitted_request> admitted;
  if (places_.is_full(cost)) {
    answer_full(request, cost);
    return admitted;
  }
  if (cost != net::cost_class::hash) {
    admitted.emplace(places_, cost, address_limits::share{});
    return admitted;
  }
  auto [is_fair, held] = addresses_.hold(request.peer);
  if (is_fair) {
    admitted.emplace(places_, cost, std::move(held));
  } else {
    answer_rate_limited(*this, request, std::chrono::seconds{1});
  }
  return admitted;
}

void service::answer_full(net::request_context& request, net::cost_class cost) {
  places_.count_refusal(cost);
  if (!is_oauth(request)) {
    // A place for a read or write is free in milliseconds; who waits for a hash stands in a line of seconds.
    const std::chrono::seconds retry_after =
        cost == net::cost_class::hash ? accounts_.send_away(device_of(request)) : usual_retry_after;
    return full_[static_cast<std::size_t>(cost)].answer(request, retry_after);
  }
  protocol::problem full = problem_of(codes::over_capacity, std::string{full_detail});
  full.reason = net::to_string(cost);
  answer(*this, request, std::move(full));
}

void service::refuse(net::request_context& request, unsigned status, std::string_view code,
                     std::string_view detail) noexcept {
  try {
    protocol::problem what = problem_of(code_named(code), std::string{detail});
    // api.md knows no 408: a client too slow to send its refresh is asked to try again, others get a 504.
    constexpr unsigned too_slow = 408;
    const bool is_slow_refresh = status == too_slow && request.path.ends_with("/token");
    if (is_slow_refresh) {
      what.code = &codes::over_capacity;
      what.reason = "slow_request";
    } else if (status != too_slow) {
      what.status = status;
      if (what.code == &codes::over_capacity) what.reason = "incomplete_requests";
    }
    answer(*this, request, std::move(what));
    add_common_headers(request);
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
