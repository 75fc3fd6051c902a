#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pam::auth::detail {

inline constexpr std::string_view hex_digits = "0123456789abcdef";

/// Two lower-case digits a byte.
inline std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte each : bytes) {
    text += hex_digits[std::to_integer<std::size_t>(each >> 4)];
    text += hex_digits[std::to_integer<std::size_t>(each & std::byte{15})];
  }
  return text;
}

/// The inverse, for exactly `out.size()` bytes; false for any other text.
inline bool from_hex(std::string_view text, std::span<std::byte> out) {
  if (text.size() != 2 * out.size()) return false;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto high = hex_digits.find(text[2 * i]);
    const auto low = hex_digits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return false;
    out[i] = static_cast<std::byte>(high * 16 + low);
  }
  return true;
}

}  // namespace pam::auth::detail
