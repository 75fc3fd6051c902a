#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

/// base64url without padding (RFC 7515 section 2, RFC 4648 section 5). Decoding is strict: padding,
/// white space, foreign characters, impossible lengths and non-zero trailing bits are refused, so that
/// one byte string has one text. Constant time for its length (libsodium), hence fit for key members.
[[nodiscard]] std::string to_base64url(std::span<const std::byte> bytes);
[[nodiscard]] std::string to_base64url(std::string_view bytes);
[[nodiscard]] std::optional<std::string> from_base64url(std::string_view text);
/// The same text and the same rules by a table, ten times as fast: its time tells of the bytes, so only for
/// what whoever measures it can read anyway, such as the parts of a JWT.
[[nodiscard]] std::string public_to_base64url(std::string_view bytes);
[[nodiscard]] std::optional<std::string> public_from_base64url(std::string_view text);
/// The same rules for the alphabet of RFC 4648 section 4, still without padding: PHC strings.
[[nodiscard]] std::optional<std::string> from_base64(std::string_view text);
/// base64url for key material: what it allocates is wiped.
[[nodiscard]] std::optional<secret> secret_from_base64url(std::string_view text);

}  // namespace pam::crypto::detail
