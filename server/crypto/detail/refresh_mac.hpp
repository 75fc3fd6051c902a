#pragma once

#include <array>
#include <cstddef>

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

 private:
  crypto_auth_hmacsha256_state keyed_;
};

}  // namespace pam::crypto::detail
