#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/uuid/uuid.hpp>

namespace pam::protocol {

/// A moment on the wire: RFC 3339 with microseconds and `Z`.
using timestamp = std::chrono::sys_time<std::chrono::microseconds>;

struct identity {
  boost::uuids::uuid identity_id{};  ///< ours
  std::string provider_id;           ///< the provider's; member `id`
  boost::uuids::uuid user_id{};
  std::string identity_data = "{}";  ///< JSON object text
  std::string provider;
  std::optional<timestamp> last_sign_in_at;
  timestamp created_at{};
  timestamp updated_at{};
  std::string email;
};

struct user {
  boost::uuids::uuid id{};
  std::string aud;
  std::string role;
  std::string email;
  std::string phone;
  std::optional<timestamp> email_confirmed_at;
  std::optional<timestamp> phone_confirmed_at;
  std::optional<timestamp> last_sign_in_at;
  std::string app_metadata = "{}";   ///< JSON object text
  std::string user_metadata = "{}";  ///< JSON object text
  std::vector<identity> identities;
  timestamp created_at{};
  timestamp updated_at{};
  std::optional<timestamp> banned_until;
  std::optional<timestamp> deleted_at;
  bool is_anonymous = false;
};

struct token_response {
  std::string access_token;
  std::int64_t expires_in = 0;  ///< whole seconds
  std::int64_t expires_at = 0;  ///< Unix seconds
  std::string refresh_token;
  protocol::user user;
  std::vector<std::string_view> weak_password_reasons;  ///< advice on a successful sign-in
};

/// One entry of the `amr` claim.
struct authentication_method {
  std::string method;
  std::int64_t timestamp = 0;  ///< Unix seconds
};

struct session_info {
  boost::uuids::uuid id{};
  bool current = false;
  timestamp created_at{};
  timestamp refreshed_at{};
  timestamp expires_at{};  ///< absolute end
  timestamp idle_expires_at{};
  std::string aal;
  std::vector<authentication_method> amr;
  std::optional<std::string> ip;
  std::optional<std::string> user_agent;
};

struct settings {
  bool email = true;
  bool phone = false;
  bool anonymous_users = false;
  bool disable_signup = false;
  bool mailer_autoconfirm = true;
  bool phone_autoconfirm = false;
  std::string sms_provider;
  bool saml_enabled = false;
  bool passkeys_enabled = false;
};

[[nodiscard]] std::string encode(const user& value);
[[nodiscard]] std::string encode(const token_response& value);
[[nodiscard]] std::string encode(const std::vector<session_info>& value);  ///< {"sessions":[...]}
[[nodiscard]] std::string encode(const settings& value);

/// `2026-11-22T10:43:00.123456Z`
[[nodiscard]] std::string to_rfc3339(timestamp value);
/// 36 lower-case characters.
[[nodiscard]] std::string to_string(const boost::uuids::uuid& value);
/// The canonical 36-character form only, either case; nullopt otherwise.
[[nodiscard]] std::optional<boost::uuids::uuid> parse_uuid(std::string_view text);

/// `amr` between its JSON text (as stored) and its structs. A malformed text gives an empty list.
[[nodiscard]] std::vector<authentication_method> decode_amr(std::string_view json);
[[nodiscard]] std::string encode_amr(const std::vector<authentication_method>& value);

/// What sign-up stores: `data` plus email, email_verified, phone_verified and sub (GoTrue's shape).
[[nodiscard]] std::string initial_user_metadata(std::string_view data, std::string_view email,
                                                const boost::uuids::uuid& account, bool email_verified);
[[nodiscard]] std::string initial_identity_data(std::string_view email, const boost::uuids::uuid& account,
                                                bool email_verified);

}  // namespace pam::protocol
