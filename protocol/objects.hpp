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
  std::optional<timestamp> invited_at;
  std::optional<timestamp> confirmation_sent_at;
  std::optional<timestamp> recovery_sent_at;
  std::string new_email;  ///< a change that waits for its confirmation; left out when empty
  std::optional<timestamp> email_change_sent_at;
  std::string new_phone;  ///< likewise
  std::optional<timestamp> phone_change_sent_at;
  std::optional<timestamp> reauthentication_sent_at;
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
  std::optional<std::string> client_id;  ///< set for sessions of third-party applications
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

/// Encoders write the members in GoTrue's order, leave absent optionals out and embed JSON texts as they
/// are: those must be objects that a decoder of ours wrote or jsonb printed. Strings are valid UTF-8.
[[nodiscard]] std::string encode(const user& value);
[[nodiscard]] std::string encode(const token_response& value);
[[nodiscard]] std::string encode(const std::vector<session_info>& value);  ///< {"sessions":[...]}
[[nodiscard]] std::string encode(const settings& value);

/// `2026-11-22T10:43:00.123456Z`: always microseconds, always UTC (RFC 3339 section 5.6). Years outside
/// 0000 to 9999 have no such text (PostgreSQL's infinity among them) and become the nearest moment that has.
[[nodiscard]] std::string to_rfc3339(timestamp value);
/// Any RFC 3339 date-time, offsets included; digits beyond microseconds are cut off. nullopt for anything
/// else, for dates that do not exist and for leap seconds, which no clock of ours can express.
[[nodiscard]] std::optional<timestamp> parse_rfc3339(std::string_view text);
/// 36 lower-case characters.
[[nodiscard]] std::string to_string(const boost::uuids::uuid& value);
/// The canonical 36-character form only, either case; nullopt otherwise.
[[nodiscard]] std::optional<boost::uuids::uuid> parse_uuid(std::string_view text);

/// `amr` between its JSON text (as stored) and its structs. A malformed text gives an empty list.
[[nodiscard]] std::vector<authentication_method> decode_amr(std::string_view json);
[[nodiscard]] std::string encode_amr(const std::vector<authentication_method>& value);

/// Bytes of our JSON text once PostgreSQL prints it: jsonb puts a blank behind each comma and colon.
[[nodiscard]] std::size_t stored_size(std::string_view json);

/// What sign-up stores: `data` plus email, email_verified, phone_verified and sub (GoTrue's shape), which
/// win over members of the same name in `data`. Without an email its member is left out.
/// @param data  `metadata_patch::set`; anything that is no JSON object counts as empty
[[nodiscard]] std::string initial_user_metadata(std::string_view data, std::string_view email,
                                                const boost::uuids::uuid& account, bool email_verified);
[[nodiscard]] std::string initial_identity_data(std::string_view email, const boost::uuids::uuid& account,
                                                bool email_verified);

}  // namespace pam::protocol
