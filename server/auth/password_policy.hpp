#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "server/crypto/secret.hpp"

namespace pam::auth {

/// Longest password in UTF-8 bytes, as sent and after normalisation.
inline constexpr std::size_t max_password_bytes = 1024;

/// NIST SP 800-63B-4 section 3.1.1: length and a block list, no composition rules, nothing truncated.
struct password_policy {
  std::size_t min_length = 8;  ///< code points after NFC; 15 is recommended without a second factor
};

/// What a new password is like. `reasons` uses GoTrue's words: "length" (too short or too long),
/// "characters" (no valid UTF-8, or control characters), "pwned" (among the first a guesser tries, or stolen:
/// breach_check.hpp); empty means acceptable. The views are literals.
struct password_verdict {
  crypto::secret normalized;  ///< what must be hashed
  std::vector<std::string_view> reasons;
};

/// @param email  canonical address of the account, "" without one: its parts are no password
[[nodiscard]] password_verdict check_password(std::string_view password, std::string_view email,
                                              const password_policy& policy);

/// The form of a password that is hashed and verified: Unicode NFC, so that one keyboard's "e" with an accent
/// is another's. Bytes that are no UTF-8 stay as they are and match nothing that check_password() accepted.
[[nodiscard]] crypto::secret normalize_password(std::string_view password);

}  // namespace pam::auth
