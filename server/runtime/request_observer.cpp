#include "server/runtime/request_observer.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <utility>

#include "async/counting.hpp"
#include "server/api/routes.hpp"
#include "server/crypto/random.hpp"

namespace pam::runtime {
namespace {

std::int64_t microseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

bool is_traceparent(const net::header_field& field) {
  constexpr std::string_view name = "traceparent";
  const auto equals = [](char a, char b) { return a == b || (a >= 'A' && a <= 'Z' && a + ('a' - 'A') == b); };
  return std::equal(field.name.begin(), field.name.end(), name.begin(), name.end(), equals);
}

/// The trace the request belongs to; nullopt when it names none, a broken one, or two.
std::optional<protocol::trace_context> caller_of(const net::request_context& request) {
  const auto found = std::find_if(request.fields.begin(), request.fields.end(), is_traceparent);
  if (found == request.fields.end()) return std::nullopt;
  if (std::any_of(std::next(found), request.fields.end(), is_traceparent)) return std::nullopt;
  return protocol::parse_traceparent(found->value);
}

/// A 503 on which neither database nor hash pool spent anything, nor its client waited for them.
bool is_refused_unserved(const net::request_context& request) {
  constexpr unsigned unavailable = 503;
  const async::call_costs& costs = request.costs;
  return request.out.status == unavailable && costs.statements == 0 && costs.hashes == 0 &&
         costs.database_queue.count() == 0 && costs.hash_queue.count() == 0;
}

std::vector<child_span> children_of(const async::call_timeline& timeline,
                                    std::chrono::steady_clock::time_point from) {
  std::vector<child_span> children;
  children.reserve(timeline.steps().size());
  for (const async::call_step& step : timeline.steps()) {
    child_span& child = children.emplace_back();
    crypto::fill_random(child.span_id);
    child.step = step;
    child.after = step.asked - from;
  }
  return children;
}

}  // namespace

request_observer::request_observer(logger& log, observation& how) : log_(log), how_(how) {
  for (const net::route& route : api::all_routes()) routes_.try_emplace(route.pattern);
  routes_.try_emplace("");
}

void request_observer::began(net::request_context& request) noexcept {
  if (!how_.traces) return;
  try {
    if (!is_sampled(request, caller_of(request))) return;
    request.timeline = std::make_unique<async::call_timeline>();
    request.costs.timeline = request.timeline.get();
  } catch (const std::exception&) {
    return;  // for want of memory the span has no children
  }
}

bool request_observer::is_sampled(const net::request_context& request,
                                  const std::optional<protocol::trace_context>& caller) const {
  return caller ? caller->is_sampled : how_.traces->samples(request.id());
}

void request_observer::finished(const net::request_context& request, bool was_sent) noexcept {
  const std::chrono::nanoseconds elapsed = std::chrono::steady_clock::now() - request.started;
  count(request, was_sent, elapsed);
  const std::int64_t slow = how_.slow_request_us.load(std::memory_order_relaxed);
  const bool is_slow = slow != 0 && microseconds(elapsed) >= slow;
  const bool is_logged = log_.is_enabled(log_level::info);
  if (!is_logged && !is_slow && !how_.traces) return;
  try {
    const auto caller = caller_of(request);
    const std::string trace_id = caller ? protocol::to_hex(caller->trace_id) : std::string{};
    if (is_logged) {
      // In an overload the lines of refusals would cost more than the refusals: the flood limit holds for
      // them.
      const bool is_refusal = is_refused_unserved(request);
      log_request(is_refusal ? log_level::warn : log_level::info, is_refusal ? "request_refused" : "request",
                  request, was_sent, elapsed, trace_id);
    }
    if (is_slow) log_request(log_level::warn, "slow_request", request, was_sent, elapsed, trace_id);
    if (how_.traces) trace(request, was_sent, elapsed, caller);
  } catch (const std::exception&) {
    // The answer has left; a line that cannot be formatted for want of memory must not end the server.
    return;
  }
}

route_statistics& request_observer::statistics_of(std::string_view route) {
  // A route's pattern is a constant: the same text at the same place.
  if (last_ != nullptr && last_route_.data() == route.data() && last_route_.size() == route.size())
    return *last_;
  auto found = routes_.find(route);
  if (found == routes_.end()) found = routes_.find("");
  last_route_ = route;
  return *(last_ = &found->second);
}

void request_observer::count(const net::request_context& request, bool was_sent,
                             std::chrono::nanoseconds elapsed) {
  route_statistics& of = statistics_of(request.route);
  const std::size_t status_class = was_sent && request.out.status < 600 ? request.out.status / 100 : 0;
  async::count(of.by_class[status_class]);
  of.latency.record(elapsed);
  const async::call_costs& costs = request.costs;
  if (costs.statements != 0 || costs.database_queue.count() != 0) {
    parts_[0].record(costs.database_queue);
    parts_[1].record(costs.database);
  }
  if (costs.hashes != 0 || costs.hash_queue.count() != 0) {
    parts_[2].record(costs.hash_queue);
    parts_[3].record(costs.hash);
  }
}

// The path and query are the client's and may carry a token: the pattern names the request instead.
void request_observer::log_request(log_level level, std::string_view event,
                                   const net::request_context& request, bool was_sent,
                                   std::chrono::nanoseconds elapsed, std::string_view trace_id) {
  log_.write(level, event,
             {{"request_id", request.id()},
              {"method", net::to_string(request.verb)},
              {"route", request.route},
              {"status", request.out.status},
              {"duration_us", microseconds(elapsed)},
              {"statements", request.costs.statements},
              {"database_queue_us", microseconds(request.costs.database_queue)},
              {"database_us", microseconds(request.costs.database)},
              {"hashes", request.costs.hashes},
              {"hash_queue_us", microseconds(request.costs.hash_queue)},
              {"hash_us", microseconds(request.costs.hash)},
              {"bytes", request.out.content().size()},
              {"peer", request.peer.to_string()},
              {"sent", was_sent},
              {"trace_id", trace_id}});
}

void request_observer::trace(const net::request_context& request, bool was_sent,
                             std::chrono::nanoseconds elapsed,
                             const std::optional<protocol::trace_context>& caller) {
  if (!is_sampled(request, caller)) return;
  trace_span span;
  crypto::fill_random(span.span_id);
  if (caller) {
    span.trace_id = caller->trace_id;
    span.parent_id = caller->parent_id;
    span.trace_state = protocol::valid_tracestate(request.header("tracestate"));
  } else {
    crypto::fill_random(span.trace_id);
  }
  span.method = net::to_string(request.verb);
  span.route = request.route;
  span.status = request.out.status;
  span.was_sent = was_sent;
  span.request_id = request.request_id;
  span.duration = elapsed;
  span.began = std::chrono::system_clock::now() -
               std::chrono::duration_cast<std::chrono::system_clock::duration>(elapsed);
  span.costs = request.costs;
  span.costs.timeline = nullptr;  // it stays with the request
  if (request.timeline) {
    span.children = children_of(*request.timeline, request.started);
    span.dropped_children = request.timeline->dropped();
  }
  how_.traces->offer(std::move(span));
}

void request_observer::failed(const net::request_context& request, std::string_view what,
                              std::string_view detail) noexcept {
  try {
    const auto caller = caller_of(request);
    log_.error("request_failed", {{"request_id", request.id()},
                                  {"route", request.route},
                                  {"what", what},
                                  {"detail", detail},
                                  {"trace_id", caller ? protocol::to_hex(caller->trace_id) : std::string{}}});
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

void request_observer::shedding(std::size_t connections) noexcept {
  try {
    log_.warn("connections_full", {{"connections", connections},
                                   {"detail",
                                    "limits.connections are open: new ones are reset, so that their clients "
                                    "try again and may reach another process; raise limits.connections or "
                                    "run one process more"}});
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace pam::runtime
