#pragma once

#include <string_view>

#include "server/crypto/error.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::crypto::detail {

/// The JOSE header of a token, reduced to what we accept: `alg`, `kid` and `typ` as strings, `typ`
/// "JWT", and none of jku, jwk, x5u, x5c, crit, b64, zip (RFC 8725 sections 3.1, 3.8, 3.10, 3.11).
struct jwt_header {
  std::string alg;
  std::string kid;
};
[[nodiscard]] result<jwt_header> read_jwt_header(std::string_view json);

/// Checks the registered claims of a payload whose signature is known to be good.
[[nodiscard]] result<void> check_jwt_claims(std::string_view json, const jwt_expectation& expected);

}  // namespace pam::crypto::detail
