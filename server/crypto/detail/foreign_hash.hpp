#pragma once

#include <optional>
#include <string>

#include "server/crypto/error.hpp"
#include "server/crypto/hash_pool.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

/// Password hashes other systems made. None is ever made here: the next sign-in replaces it.
///
///     $2a$ $2b$ $2y$                               bcrypt, cost 4 to 14 (libxcrypt)
///     $5$ $6$                                      sha256-crypt, sha512-crypt, up to 1,000,000 rounds
///     (libxcrypt) $scrypt$ln=16,r=8,p=1$salt$hash              scrypt as passlib writes it
///     $fbscrypt$v=1,n=14,r=8,p=1,ss=..,sk=..$salt$hash     Firebase's scrypt as GoTrue stores it
///     $pbkdf2$ $pbkdf2-sha256$ $pbkdf2-sha512$ rounds$salt$hash     PBKDF2 as passlib writes it
///     pbkdf2_sha1$ pbkdf2_sha256$ rounds$salt$hash                  PBKDF2 as Django writes it
///
/// Costs are bounded: one check takes about a second at most, whatever was imported.
/// @param cost  the pool's: scrypt may ask for `max_cost_factor` times its memory
/// @return nullopt for another scheme; bad_hash for malformed text or costs above the bound
[[nodiscard]] std::optional<result<bool>> verify_foreign(const secret& password, const std::string& stored,
                                                         const hash_cost& cost);

}  // namespace pam::crypto::detail
