#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "protocol/decode_error.hpp"
#include "protocol/problem.hpp"
#include "server/api/service.hpp"
#include "server/auth/error.hpp"

namespace pam::api {

/// What a client is asked to wait when nothing says how long; auth-js backs off by itself beside it.
inline constexpr std::chrono::seconds usual_retry_after{1};

/// Answers with a problem: body, `x-sb-error-code`, `Retry-After` on 429 and 503.
void answer(service& application, net::request_context& request, protocol::problem what,
            std::chrono::seconds retry_after = usual_retry_after);

/// Answers 429 over_request_rate_limit.
void answer_rate_limited(service& application, net::request_context& request,
                         std::chrono::seconds retry_after);

/// Answers 200 (or `status`) with a JSON body.
void answer_json(net::request_context& request, std::string body, unsigned status = 200);

void answer_decode_error(service& application, net::request_context& request,
                         const protocol::decode_error& failure);

/// Where an error came from decides its status: api.md, "Errors".
enum class origin {
  token,   ///< /token: nothing but 400 and 503 (and 422 where a provider is off)
  bearer,  ///< a route that needs a signed-in user
  other,
};

/// The one place where domain errors become problems.
[[nodiscard]] protocol::problem to_problem(const auth::error& failure, origin from);

/// Answers with it; what only we may know goes to the log.
void answer_error(service& application, net::request_context& request, const auth::error& failure,
                  origin from);

/// True when the client asked for string codes (X-Supabase-Api-Version 2024-01-01 or newer).
[[nodiscard]] bool wants_string_codes(const net::request_context& request);

}  // namespace pam::api
