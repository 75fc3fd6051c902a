#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pam::protocol {

/// Base64url (RFC 4648 section 5) without padding, as JOSE writes it (RFC 7515 section 2).
[[nodiscard]] std::string encode_base64url(std::span<const std::byte> bytes);

/// The canonical form only: no padding, no blanks, the bits that carry nothing are zero. So two different
/// texts never stand for the same bytes. nullopt for anything else.
[[nodiscard]] std::optional<std::vector<std::byte>> decode_base64url(std::string_view text);

/// The same into memory of the caller; false unless the text is canonical and fills `out` exactly, and
/// then `out` holds nothing of use.
[[nodiscard]] bool decode_base64url(std::string_view text, std::span<std::byte> out);

}  // namespace pam::protocol
