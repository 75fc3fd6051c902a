#include "protocol/base64url.hpp"

#include <array>
#include <cstdint>

namespace pam::protocol {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint8_t no_digit = 0xFF;

constexpr std::array<std::uint8_t, 256> digit_table = [] {
  std::array<std::uint8_t, 256> table{};
  table.fill(no_digit);
  for (std::size_t i = 0; i < alphabet.size(); ++i) {
    table[static_cast<unsigned char>(alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}();

}  // namespace

std::string encode_base64url(std::span<const std::byte> bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t bits = 0;
  unsigned count = 0;  // bits that wait for their character
  for (const std::byte byte : bytes) {
    bits = (bits << 8) | std::to_integer<std::uint32_t>(byte);
    for (count += 8; count >= 6; count -= 6) out += alphabet[(bits >> (count - 6)) & 63];
  }
  if (count > 0) out += alphabet[(bits << (6 - count)) & 63];
  return out;
}

std::optional<std::vector<std::byte>> decode_base64url(std::string_view text) {
  std::vector<std::byte> out(text.size() / 4 * 3 + text.size() % 4 * 3 / 4);
  if (!decode_base64url(text, out)) return std::nullopt;
  return out;
}

bool decode_base64url(std::string_view text, std::span<std::byte> out) {
  if (text.size() % 4 == 1 || text.size() / 4 * 3 + text.size() % 4 * 3 / 4 != out.size()) return false;
  std::uint32_t bits = 0;
  unsigned count = 0;  // bits that wait for their byte
  std::size_t filled = 0;
  for (const char c : text) {
    const std::uint8_t digit = digit_table[static_cast<unsigned char>(c)];
    if (digit == no_digit) return false;
    bits = (bits << 6) | digit;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out[filled++] = static_cast<std::byte>((bits >> count) & 0xFF);
  }
  return (bits & ((1U << count) - 1)) == 0;
}

}  // namespace pam::protocol
