#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/uuid/uuid.hpp>

#include "server/crypto/error.hpp"
#include "server/crypto/refresh_token.hpp"

namespace pam::crypto {

enum class algorithm : std::uint8_t { es256, rs256, eddsa, hs256 };
enum class key_use : std::uint8_t { user, machine };

/// Longest compact JWS that is made or accepted.
inline constexpr std::size_t max_jwt_bytes = 8 * 1024;

/// What a verified JWT says about itself; the payload's members are for protocol/ to read.
struct verified_jwt {
  std::string payload;  ///< JSON text of the claims set
  key_use use = key_use::user;
  std::string key_id;
};

/// What a caller demands of a token beside a good signature (RFC 8725 section 3).
struct jwt_expectation {
  std::string_view issuer;
  std::string_view audience;
  std::chrono::system_clock::time_point now;
  std::chrono::seconds leeway{5};
  /// `exp` and `aud` may be missing (old machine keys); where they stand they count.
  bool may_be_unbounded = false;
};

class sealer;

/// An HMAC-SHA256 cut to 16 bytes.
using mac_tag = std::array<std::byte, 16>;

/// All keys of the process: signing keys for access tokens, refresh keys. Every const member is safe for
/// every thread, so shards share a ring by const reference, also while `exchange()` gives it other keys.
///
/// The file is a JWK Set (RFC 7517) with private members and mode 0600; `pam_use` is "user", "machine"
/// or "refresh", `pam_state` is "next" (published, verifies, does not sign yet), "current" or
/// "previous" (verifies only; may lack its private members). Exactly one current key of each use. A next
/// key with `pam_signs_from` (Unix seconds) becomes the signing one at that moment by itself, in every
/// process that holds the file: no process ever meets a token under a key it has not loaded yet. User and
/// machine keys are EC P-256, RSA of 2048 to 4096 bits, Ed25519, or for users only oct (HS256); their `kid`
/// defaults to the RFC 7638 thumbprint. Refresh keys are oct of 32 bytes, `kid` a decimal number of 24 bits
/// as a string.
class key_ring {
 public:
  /// Blocking. `bad_key` names the file, the member and, for a file others may read, the cure.
  /// @param unsealer  opens a sealed file (key_file_text.hpp); null refuses one
  static result<key_ring> load(const std::string& file, const sealer* unsealer = nullptr);
  static result<key_ring> parse(std::string_view jwk_set);
  /// A fresh JWK Set with one current key of every use; what `pam-auth keys generate` writes.
  /// The text holds private keys: wipe() it once it is written.
  static result<std::string> generate(algorithm signing = algorithm::es256);

  key_ring(key_ring&&) noexcept;
  key_ring& operator=(key_ring&&) noexcept;
  key_ring(const key_ring&) = delete;
  key_ring& operator=(const key_ring&) = delete;
  ~key_ring();

  /// Takes over the keys of `fresh`, which is empty afterwards. One thread at a time; the others go on with
  /// the old keys or the new ones, whichever they meet.
  void exchange(key_ring fresh);
  /// Grows with every exchange: what was learned under another epoch must be learned again.
  [[nodiscard]] std::uint64_t epoch() const;

  /// Compact JWS (RFC 7515) of a claims set under the current key of `use`; header alg, kid, typ "JWT".
  /// @param claims  a JSON object, taken as it is
  /// @return `bad_token` when the token would exceed max_jwt_bytes; `failure` when OpenSSL refuses
  [[nodiscard]] result<std::string> sign(key_use use, std::string_view claims) const;
  /// Checks form (three parts of canonical base64url, at most max_jwt_bytes), header (kid and typ "JWT"
  /// required, alg fixed by the key; jku, jwk, x5u, x5c, crit, b64, zip refused), signature, and only
  /// then the claims: iss, aud and exp required and exact, nbf and iat within the leeway.
  /// @return `bad_token`, `unknown_key` or `expired`; the detail says which rule, for logs only
  [[nodiscard]] result<verified_jwt> verify(std::string_view jwt, const jwt_expectation& expected) const;
  /// The public half as a JWK Set for /.well-known/jwks.json (user keys only, whatever their state).
  [[nodiscard]] std::string public_jwks() const;

  /// First token of a new session: generation 0, fresh salt, current refresh key.
  [[nodiscard]] refresh_token first_refresh_token(const boost::uuids::uuid& account,
                                                  const boost::uuids::uuid& session) const;
  /// The token of `generation` for the session and salt of `seen` under the nth refresh key: 0 is the one
  /// that signs now, then the others. @pre nth < refresh_keys()
  [[nodiscard]] refresh_token derive(const refresh_token& seen, std::uint32_t generation,
                                     std::size_t nth = 0) const;
  [[nodiscard]] std::size_t refresh_keys() const;
  /// True when the token's secret is the HMAC of its other members under the key it names. No database.
  [[nodiscard]] bool is_genuine(const refresh_token& token) const;

  /// HMAC under the refresh key that signs now, for small proofs of ours such as known devices.
  /// @param domain  a literal that no other kind of proof begins with
  [[nodiscard]] mac_tag tag(std::string_view domain, std::string_view text) const;
  /// True when any refresh key made the tag.
  [[nodiscard]] bool is_tag(std::string_view domain, std::string_view text, const mac_tag& presented) const;

 private:
  struct keys;
  struct impl;
  explicit key_ring(std::unique_ptr<const keys> state);
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::crypto
