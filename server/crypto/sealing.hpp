#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/crypto/error.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto {

/// Bytes a sealed value is longer than its plain text: version 1 | key id 3 | nonce 24 | tag 16.
inline constexpr std::size_t sealing_overhead = 44;

/// Seals what rests in the database (signing keys, TOTP secrets, outbox payloads) with
/// XChaCha20-Poly1305 under a key-encryption key that never does. Immutable: shards may share it by
/// const reference; a rotation loads a new one.
///
/// The key file is a JWK Set of mode 0600 or stricter: oct keys of 32 bytes, `pam_use` "seal", `kid` a
/// decimal number of 24 bits as a string, `pam_state` "current" (seals, exactly one), "previous" or
/// "next" (open only).
class sealer {
 public:
  /// Blocking. `bad_key` names file, member and cure.
  static result<sealer> load(const std::string& file);
  static result<sealer> parse(std::string_view jwk_set);
  /// A fresh key file with one current key.
  static secret generate();

  sealer(sealer&&) noexcept;
  sealer& operator=(sealer&&) noexcept;
  sealer(const sealer&) = delete;
  sealer& operator=(const sealer&) = delete;
  ~sealer();

  /// @param associated  what the value belongs to, e.g. "factors.secret" and the row's id; it is bound,
  ///                    not stored: opening needs the same bytes, so a value moved to another row fails
  /// @return version | key id | random nonce | ciphertext and tag; sealing_overhead longer than `plain`
  [[nodiscard]] std::vector<std::byte> seal(std::span<const std::byte> plain,
                                            std::string_view associated) const;

  /// @return the plain text; `unknown_key` when its key is not in the file; `failure` when the value is
  ///         malformed, was changed, or belongs to something else (which one cannot be known)
  [[nodiscard]] result<secret> open(std::span<const std::byte> sealed, std::string_view associated) const;

  /// True when `sealed` is well-formed and under another key than the current one: seal it again.
  [[nodiscard]] bool needs_reseal(std::span<const std::byte> sealed) const;

 private:
  struct impl;
  explicit sealer(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::crypto
