#pragma once

#include <string>
#include <string_view>

#include "protocol/objects.hpp"
#include "server/api/service.hpp"
#include "server/auth/types.hpp"

namespace pam::api {

/// The account as the wire shows it.
[[nodiscard]] protocol::user to_user(auth::account from);

[[nodiscard]] protocol::session_info to_session_info(const auth::session& from, bool is_current);

/// Signs an access token for the grant and answers 200 with the token response.
void answer_grant(service& application, net::request_context& request, auth::grant granted,
                  std::vector<std::string_view> weak_password_reasons = {});

/// Where the request came from, for the session list.
[[nodiscard]] auth::client_place place_of(const net::request_context& request);

/// How a known device is kept: a browser's cookie, an app's header.
inline constexpr std::string_view device_cookie = "pam_device";
inline constexpr std::string_view device_header = "x-pam-device";

/// What the client shows as a known device; empty: nothing.
[[nodiscard]] std::string device_of(const net::request_context& request);

/// `[{"method":...,"timestamp":...}]` for a session that begins now.
[[nodiscard]] std::string new_amr(std::string_view method);

/// False, and the request answered, when it has a body that does not claim to be JSON.
[[nodiscard]] bool has_json_body(service& application, net::request_context& request);

}  // namespace pam::api
