#pragma once

#include <openssl/core_names.h>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "server/crypto/detail/openssl.hpp"
#include "server/crypto/error.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

inline constexpr std::size_t p256_octets = 32;
inline constexpr std::size_t ed25519_octets = 32;
inline constexpr int min_rsa_bits = 2048;  ///< RFC 7518 section 3.3
inline constexpr int max_rsa_bits = 4096;  ///< a signature costs the shard milliseconds above

/// The CRT members of an RSA private key: name in a JWK (RFC 7518 section 6.3.2) and in OpenSSL.
struct crt_member {
  std::string_view jwk_name;
  const char* openssl_name;
};
inline constexpr std::array<crt_member, 5> rsa_crt_members{{{"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
                                                            {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
                                                            {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
                                                            {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
                                                            {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}}};

/// OpenSSL keys from big-endian octets. An empty `d` makes a public key. Each is checked: the point on
/// the curve, the modulus in range, the private half belonging to the public one.
[[nodiscard]] result<evp_pkey> make_p256(std::string_view x, std::string_view y, std::string_view d);
[[nodiscard]] result<evp_pkey> make_ed25519(std::string_view x, std::string_view d);
/// @param crt  in the order of rsa_crt_members; ignored without `d`
[[nodiscard]] result<evp_pkey> make_rsa(std::string_view n, std::string_view d, std::span<const secret> crt);

}  // namespace pam::crypto::detail
