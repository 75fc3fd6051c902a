#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/crypto/detail/signature.hpp"
#include "server/crypto/error.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

/// What a key of a file may be used for (`pam_use`). One key has one use.
enum class jwk_use : std::uint8_t { user, machine, refresh, seal };
/// Where a key stands in its life (`pam_state`): `next` is published and verifies but does not sign
/// yet, `current` signs, `previous` verifies only.
enum class jwk_state : std::uint8_t { next, current, previous };

[[nodiscard]] std::string_view to_string(jwk_use use);

/// One key of a file, checked. User and machine keys carry `material`; refresh and seal keys carry
/// `number` and the 32 `octets`.
struct jwk {
  jwk_use use = jwk_use::user;
  jwk_state state = jwk_state::current;
  std::string kid;
  signing_material material;
  /// The required public members in the order of RFC 7638, without braces; empty for a secret key.
  std::string public_members;
  std::uint32_t number = 0;     ///< 24 bits
  std::int64_t signs_from = 0;  ///< Unix seconds at which a next key begins to sign; 0: not by itself
  bool accepts_no_kid = false;  ///< HS256 of users only: verifies tokens that name no key
  secret octets;
};

/// Reads a JWK Set (RFC 7517 section 5) with private members. Refused, each with the place in
/// `error.detail`: unknown types, curves, uses and states, weak or inconsistent keys, a use outside
/// `allowed`, two keys with one kid or one key under two, and anything but one current key of each use.
[[nodiscard]] result<std::vector<jwk>> parse_jwk_set(std::string_view text, std::span<const jwk_use> allowed);

/// The SHA-256 thumbprint (RFC 7638) of a key's required members.
[[nodiscard]] std::string thumbprint(std::string_view public_members);

/// JWK text of a fresh key with its private members, state `current`. Signing keys are named by their
/// thumbprint (hs256: by 16 random bytes), the others by a random number.
[[nodiscard]] result<secret> generate_signing_jwk(jwk_use use, algorithm alg);
[[nodiscard]] secret generate_numbered_jwk(jwk_use use);

}  // namespace pam::crypto::detail
