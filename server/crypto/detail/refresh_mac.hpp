#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

#include "server/crypto/detail/sodium.hpp"
#include "server/crypto/refresh_token.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

/// HMAC-SHA256 (RFC 2104) under one refresh key over
/// "pam refresh v1" || salt || account || session || generation (big-endian), first 16 bytes.
/// All members have fixed lengths, so no two tokens have the same input. The keyed state is computed
/// once: half of the compressions of a short message are the key's. Safe for concurrent use.
class refresh_mac {
 public:
  explicit refresh_mac(const secret& key);
  refresh_mac(const refresh_mac&) = default;
  refresh_mac& operator=(const refresh_mac&) = default;
  ~refresh_mac() { wipe(&keyed_, sizeof keyed_); }

  [[nodiscard]] std::array<std::byte, 16> of(const refresh_token& token) const;
  /// The same HMAC over `domain`, a NUL and `text`, for proofs that are no refresh tokens.
  /// @param domain  begins like no other domain of ours, the one above included
  [[nodiscard]] std::array<std::byte, 16> of(std::string_view domain, std::string_view text) const;

 private:
  [[nodiscard]] std::array<std::byte, 16> over(std::span<const std::byte> message) const;

  crypto_auth_hmacsha256_state keyed_;
};

}  // namespace pam::crypto::detail
