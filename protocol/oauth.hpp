#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/uuid/uuid.hpp>

#include "protocol/sensitive.hpp"

namespace pam::protocol {

/// What RFC 7662 section 2.2 answers about a token that is active. Absent members are left out.
struct introspection {
  std::string_view token_type;  ///< "Bearer"; empty for a refresh token, which has no type
  std::string iss;
  std::string aud;
  boost::uuids::uuid sub{};
  std::string username;  ///< the email address; empty when there is none
  std::string role;
  std::string aal;
  boost::uuids::uuid session_id{};
  std::int64_t exp = 0;
  std::optional<std::int64_t> iat;
  std::optional<bool> is_anonymous;
};

[[nodiscard]] std::string encode(const introspection& value);
/// All that is said about any other token (RFC 7662 section 2.2).
inline constexpr std::string_view inactive_token = R"({"active":false})";

/// An error of the OAuth 2.0 family (RFC 6749 section 5.2): never more than these two members.
[[nodiscard]] std::string encode_oauth_error(std::string_view error, std::string_view description);

/// What `Authorization: Basic ...` carries for client_secret_basic (RFC 6749 section 2.3.1): id and secret,
/// each form-encoded, joined by a colon, in base64 (RFC 4648 section 4, padded, canonical).
struct client_credentials {
  std::string id;
  sensitive secret;
};
[[nodiscard]] std::optional<client_credentials> decode_client_credentials(std::string_view authorization);

}  // namespace pam::protocol
