#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/uuid/uuid.hpp>

#include "protocol/decode_error.hpp"
#include "protocol/objects.hpp"

namespace pam::protocol {

/// Claims of a user's access token (api.md, Objects).
struct access_claims {
  std::string iss;
  boost::uuids::uuid sub{};
  std::string aud = "authenticated";
  std::int64_t exp = 0;
  std::int64_t iat = 0;
  std::string email;
  std::string phone;
  std::string app_metadata = "{}";   ///< JSON object text
  std::string user_metadata = "{}";  ///< JSON object text
  std::string role;
  std::string aal = "aal1";
  std::vector<authentication_method> amr;
  boost::uuids::uuid session_id{};
  bool is_anonymous = false;
};

/// Claims of a machine token: no session_id; `role` from admin_roles.
struct machine_claims {
  std::string iss;
  std::string sub;
  std::string aud;
  std::string role;
  std::int64_t exp = 0;
  std::int64_t iat = 0;
};

/// What a bearer check needs from a verified user token's payload.
struct token_subject {
  boost::uuids::uuid account{};
  boost::uuids::uuid session{};
  std::int64_t iat = 0;
  std::int64_t exp = 0;  ///< 0: the payload has none
  std::string aal;
};

[[nodiscard]] std::string encode(const access_claims& value);
[[nodiscard]] std::string encode(const machine_claims& value);
/// Reads the payload of a token whose signature was verified. Every error is `bad_jwt`: malformed JSON,
/// sub or session_id missing or no UUID, iat missing or no integer. A missing `aal` is "aal1".
[[nodiscard]] decoded<token_subject> decode_token_subject(std::string_view payload);
/// The same for a machine token. Only `role` must be there; the keys of older installations carry neither
/// `sub` nor `aud`, and exp 0 means the token has none.
[[nodiscard]] decoded<machine_claims> decode_machine_claims(std::string_view payload);

}  // namespace pam::protocol
