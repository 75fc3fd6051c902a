#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/auth/error.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {

struct access_token_policy {
  std::string issuer;
  std::string audience = "authenticated";
  std::chrono::seconds lifetime{900};
};

/// Issues and verifies access tokens. The claims are text made by protocol/: opaque here.
/// Thread-safe; `keys` must outlive it.
class access_tokens {
 public:
  access_tokens(const crypto::key_ring& keys, access_token_policy policy)
      : keys_(keys), policy_(std::move(policy)) {}

  /// The lifetime of the next token: jittered downwards by up to 5 %, so that clients that signed in
  /// together do not refresh together.
  [[nodiscard]] std::chrono::seconds next_lifetime() const {
    const auto most = static_cast<std::uint32_t>(policy_.lifetime.count() / 20);
    return policy_.lifetime - std::chrono::seconds{crypto::random_below(most + 1)};
  }

  [[nodiscard]] result<std::string> sign(std::string_view claims) const {
    auto token = keys_.sign(crypto::key_use::user, claims);
    if (token.has_error()) return from_crypto(token.error());
    return std::move(*token);
  }

  /// The payload of a user's token whose signature and registered claims are good.
  /// @return crypto's error: bad_token, unknown_key or expired
  [[nodiscard]] crypto::result<std::string> verify(std::string_view token) const {
    auto verified = keys_.verify(token, expectation());
    if (verified.has_error()) return verified.error();
    if (verified->use != crypto::key_use::user) {
      return crypto::error{crypto::errc::bad_token, "a machine token is not a user's"};
    }
    return std::move(verified->payload);
  }

  /// A token of either use. Only a machine's may lack `exp` and `aud`, and only when the caller says so.
  [[nodiscard]] crypto::result<crypto::verified_jwt> verify_any(std::string_view token,
                                                                bool may_be_unbounded) const {
    auto expected = expectation();
    expected.may_be_unbounded = may_be_unbounded;
    auto verified = keys_.verify(token, expected);
    if (!may_be_unbounded || verified.has_error() || verified->use == crypto::key_use::machine)
      return verified;
    return keys_.verify(token, expectation());
  }

  [[nodiscard]] std::string public_jwks() const { return keys_.public_jwks(); }
  /// Grows when the keys change: what was verified before must be verified again.
  [[nodiscard]] std::uint64_t epoch() const { return keys_.epoch(); }
  [[nodiscard]] const access_token_policy& policy() const { return policy_; }

 private:
  [[nodiscard]] crypto::jwt_expectation expectation() const {
    crypto::jwt_expectation expected;
    expected.issuer = policy_.issuer;
    expected.audience = policy_.audience;
    expected.now = std::chrono::system_clock::now();
    return expected;
  }

  const crypto::key_ring& keys_;
  access_token_policy policy_;
};

}  // namespace pam::auth
