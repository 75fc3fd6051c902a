#pragma once

#include <string>
#include <string_view>

#include "server/crypto/error.hpp"
#include "server/crypto/hash_pool.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto {

/// A stored hash may ask for this many times the pool's memory or passes, not more: an imported hash
/// must not become a way to occupy the pool.
inline constexpr std::uint32_t max_cost_factor = 8;

/// PHC string of an Argon2id hash (RFC 9106, version 0x13, p = 1, 16-byte salt, 32-byte tag) of
/// `password` with a fresh salt. Blocking, tens of milliseconds; `failure` when memory is short.
[[nodiscard]] result<std::string> hash_password(const secret& password, const hash_cost& cost);

/// Checks `password` against a stored hash of any known scheme: "$argon2id$", "$argon2i$", and those of
/// other systems (detail/foreign_hash.hpp).
/// Blocking, costs what the stored hash asks for.
/// @param cost  the pool's: the bound for what `stored` may ask for, and the measure of needs_rehash
/// @return bad_hash (at once) for an unknown scheme, malformed text or unacceptable costs; failure
///         when memory is short: never "does not match" for a check that did not take place
[[nodiscard]] result<verification> verify_password(const secret& password, const std::string& stored,
                                                   const hash_cost& cost);

}  // namespace pam::crypto
