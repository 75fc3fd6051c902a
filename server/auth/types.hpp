#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/uuid/uuid.hpp>

#include "db/params.hpp"
#include "server/crypto/refresh_token.hpp"

namespace pam::auth {

using boost::uuids::uuid;
using db::timestamp;

/// JSON object text, opaque to the domain: made by protocol/ and PostgreSQL, read by neither of us.
using json_text = std::string;

struct identity {
  uuid id{};
  std::string provider;
  std::string provider_id;
  json_text data;
  std::string email;
  std::optional<timestamp> last_sign_in_at;
  timestamp created_at{};
  timestamp updated_at{};
};

struct account {
  uuid id{};
  std::string email;  ///< canonical; empty when the account has none
  std::string phone;
  std::string role;
  std::string aud;
  json_text app_metadata;
  json_text metadata;
  std::optional<timestamp> email_confirmed_at;
  std::optional<timestamp> phone_confirmed_at;
  std::optional<timestamp> last_sign_in_at;
  timestamp created_at{};
  timestamp updated_at{};
  std::optional<timestamp> banned_until;
  std::optional<timestamp> deleted_at;
  bool is_anonymous = false;
  std::vector<identity> identities;
};

/// Why a session ended; stored as `sessions.revoke_reason`. Numbers are for ever.
enum class revoke_reason : std::int16_t {
  signed_out = 1,
  refresh_token_reused = 2,
  password_changed = 3,
  ended_by_user = 4,
  token_revoked = 5,  ///< by an OAuth 2.0 client or a machine (RFC 7009)
};

struct session {
  uuid id{};
  timestamp created_at{};
  timestamp refreshed_at{};
  timestamp expires_at{};  ///< idle end
  timestamp absolute_expires_at{};
  std::int16_t aal = 1;
  json_text amr;
  std::optional<std::string> ip;
  std::optional<std::string> user_agent;
};

/// Where a request came from; shown to the user in the session list.
struct client_place {
  std::string ip;               ///< text of the address; empty when unknown
  std::string user_agent;       ///< at most 512 bytes are kept
  std::string request_id = "";  ///< what the client sees as X-Request-Id; stands in the audit log
};

/// Who acts on others' behalf, for the audit log.
struct administrator {
  std::string actor;  ///< the subject of a machine token
  client_place place;
};

/// A signed-in session: what a token response is made of.
struct grant {
  auth::account account;
  auth::session session;
  crypto::refresh_token refresh_token;
};

/// Lifetimes and windows of the session rules (architecture.md, Tokens and keys).
struct session_policy {
  std::chrono::seconds idle_lifetime{30 * 86'400};
  std::chrono::seconds absolute_lifetime{90 * 86'400};
  std::chrono::seconds reuse_interval{10};
  std::chrono::seconds lost_response_window{300};
};

/// The longest absolute lifetime a configuration may name. Sessions are looked for this far back, not by
/// today's setting: rows keep the end they were born with.
inline constexpr std::chrono::days longest_session{730};

/// Bytes of an account's user metadata in PostgreSQL's text form. It travels in every access token, which
/// must fit 8 KB with everything else in it.
inline constexpr std::size_t max_stored_metadata_bytes = 4096;

/// The server's clock in the database's resolution.
inline timestamp clock_now() {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

}  // namespace pam::auth
