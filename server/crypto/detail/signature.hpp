#pragma once

#include <string>
#include <string_view>

#include "server/crypto/detail/openssl.hpp"
#include "server/crypto/error.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

/// The JWS name of an algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
[[nodiscard]] std::string_view name_of(algorithm alg);

/// What one JWS algorithm needs: a parsed OpenSSL key, or the octets of an HMAC key. Immutable after
/// it was made; OpenSSL allows concurrent operations on one EVP_PKEY, and every call has a context of
/// its own.
struct signing_material {
  algorithm alg = algorithm::es256;
  evp_pkey key;          ///< es256, rs256, eddsa
  secret hmac_key;       ///< hs256
  bool can_sign = true;  ///< false for the public half of a retired key
};

/// The JWS signature octets of `message` (ES256: r || s, RFC 7518 section 3.4).
[[nodiscard]] result<std::string> sign(const signing_material& material, std::string_view message);

/// True when `signature` is the one of `message` under this key and this algorithm, nothing else.
[[nodiscard]] bool verify(const signing_material& material, std::string_view message,
                          std::string_view signature);

}  // namespace pam::crypto::detail
