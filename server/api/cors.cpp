#include "server/api/cors.hpp"

#include <algorithm>

namespace pam::api {
namespace {

constexpr const char* allowed_headers =
    "authorization, apikey, content-type, accept, x-client-info, x-supabase-api-version, x-client-ip, "
    "x-retry-count, "
    "traceparent, tracestate, baggage, x-jwt-aud";
constexpr const char* allowed_methods = "GET, POST, PUT, PATCH, DELETE, OPTIONS";
constexpr const char* exposed_headers =
    "x-supabase-api-version, X-Total-Count, Link, Retry-After, X-Request-Id, x-sb-error-code";

bool allows_any(const std::vector<std::string>& allowed) {
  return std::find(allowed.begin(), allowed.end(), "*") != allowed.end();
}

}  // namespace

bool is_allowed_origin(const std::vector<std::string>& allowed, std::string_view origin) {
  return allows_any(allowed) || std::find(allowed.begin(), allowed.end(), origin) != allowed.end();
}

void add_cors(const std::vector<std::string>& allowed, net::request_context& request) {
  // Whether or not this request names an origin, a cache must not serve its answer to one that does.
  request.out.set("Vary", "Origin");
  const std::string_view origin = request.header("origin");
  if (origin.empty() || !is_allowed_origin(allowed, origin)) return;
  request.out.set("Access-Control-Allow-Origin", allows_any(allowed) ? "*" : std::string{origin});
  request.out.set("Access-Control-Expose-Headers", exposed_headers);
}

void answer_preflight(const std::vector<std::string>& allowed, net::request_context& request) {
  request.out.status = 204;
  if (!is_allowed_origin(allowed, request.header("origin"))) return;
  request.out.set("Access-Control-Allow-Methods", allowed_methods);
  request.out.set("Access-Control-Allow-Headers", allowed_headers);
  request.out.set("Access-Control-Max-Age", "86400");
}

}  // namespace pam::api
