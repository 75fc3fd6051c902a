#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace pam::protocol {

/// `pamr1_` and 96 characters of base64url: 72 bytes exactly, hence one text form only.
inline constexpr std::string_view refresh_token_prefix = "pamr1_";
inline constexpr std::size_t refresh_token_image_bytes = 72;
inline constexpr std::size_t refresh_token_text_length = refresh_token_prefix.size() + 96;

/// The bytes behind a token's text; nullopt for anything that is not the canonical form.
[[nodiscard]] std::optional<std::array<std::byte, refresh_token_image_bytes>> decode_refresh_token(
    std::string_view text);
[[nodiscard]] std::string encode_refresh_token(const std::array<std::byte, refresh_token_image_bytes>& image);

}  // namespace pam::protocol
