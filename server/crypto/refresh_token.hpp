#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <boost/uuid/uuid.hpp>

namespace pam::crypto {

/// The decoded bytes of a refresh token, 72 in all, integers big-endian:
/// version (1) | key id (3) | account (16) | session (16) | generation (4) | salt (16) | secret (16).
/// Its text form (`pamr1_` + base64url) belongs to protocol/.
inline constexpr std::size_t refresh_token_bytes = 72;
inline constexpr std::uint8_t refresh_token_version = 1;
using refresh_token_image = std::array<std::byte, refresh_token_bytes>;
using refresh_token_hash = std::array<std::byte, 32>;

struct refresh_token {
  std::uint32_t key_id = 0;  ///< 24 bits
  boost::uuids::uuid account{};
  boost::uuids::uuid session{};
  std::uint32_t generation = 0;
  std::array<std::byte, 16> salt{};    ///< random per session, known to the client only
  std::array<std::byte, 16> secret{};  ///< HMAC-SHA256(key, salt, account, session, generation), truncated
  std::uint8_t version = refresh_token_version;  ///< another one parses, but is never genuine
};

/// Inverse of parse(): every image survives the round trip. Only the low 24 bits of `key_id` fit.
[[nodiscard]] refresh_token_image image_of(const refresh_token& token);
/// Takes the bytes apart, whatever they say; key_ring::is_genuine() judges them.
[[nodiscard]] refresh_token parse(const refresh_token_image& image);
/// SHA-256 of the image: what the session row stores.
[[nodiscard]] refresh_token_hash hash_of(const refresh_token& token);

}  // namespace pam::crypto
