#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "server/net/request_context.hpp"

namespace pam::api {

/// True when the list holds "*" or this very origin.
[[nodiscard]] bool is_allowed_origin(const std::vector<std::string>& allowed, std::string_view origin);

/// Adds the CORS headers of an actual answer, errors included (Fetch standard, CORS protocol).
void add_cors(const std::vector<std::string>& allowed, net::request_context& request);

/// Answers a preflight: 204, methods, headers, cached for a day.
void answer_preflight(const std::vector<std::string>& allowed, net::request_context& request);

}  // namespace pam::api
