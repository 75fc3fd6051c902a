#include "server/crypto/detail/base64url.hpp"

#include <array>
#include <cstdint>

#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto::detail {

namespace {

constexpr int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

constexpr std::string_view url_alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::uint32_t no_digit = 0x80;

constexpr std::array<std::uint8_t, 256> digits = [] {
  std::array<std::uint8_t, 256> table{};
  table.fill(no_digit);
  for (std::size_t i = 0; i < url_alphabet.size(); ++i) {
    table[static_cast<unsigned char>(url_alphabet[i])] = static_cast<std::uint8_t>(i);
  }
  return table;
}();

bool decode_into(std::string& out, std::string_view text, int alphabet) {
  // libsodium 1.0.18 takes some bytes above 0x7f for letters: its comparisons want eight bits and get
  // a sign-extended char.
  unsigned seen = 0;
  for (const char each : text) seen |= static_cast<unsigned char>(each);
  if (seen > 0x7f) return false;
  out.resize(text.size() / 4 * 3 + 2);
  std::size_t written = 0;
  // Without an end pointer libsodium fails on anything it cannot consume, trailing bits included.
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(out.data()), out.size(), text.data(), text.size(),
                        nullptr, &written, nullptr, alphabet) != 0) {
    return false;
  }
  out.resize(written);
  return true;
}

}  // namespace

std::string to_base64url(std::span<const std::byte> bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), variant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), variant);
  text.pop_back();  // the length counts the terminating zero
  return text;
}

std::string to_base64url(std::string_view bytes) {
  return to_base64url(std::as_bytes(std::span{bytes}));
}

std::optional<std::string> from_base64url(std::string_view text) {
  std::string out;
  if (!decode_into(out, text, variant)) return std::nullopt;
  return out;
}

std::string public_to_base64url(std::string_view bytes) {
  std::string text((bytes.size() * 4 + 2) / 3, '\0');
  char* out = text.data();
  const auto byte = [&bytes](std::size_t at) { return std::uint32_t{static_cast<unsigned char>(bytes[at])}; };
  std::size_t at = 0;
  for (; at + 3 <= bytes.size(); at += 3) {
    const std::uint32_t bits = byte(at) << 16 | byte(at + 1) << 8 | byte(at + 2);
    *out++ = url_alphabet[bits >> 18];
    *out++ = url_alphabet[bits >> 12 & 63];
    *out++ = url_alphabet[bits >> 6 & 63];
    *out++ = url_alphabet[bits & 63];
  }
  if (at == bytes.size()) return text;
  const bool has_two = at + 2 == bytes.size();
  const std::uint32_t bits = byte(at) << 16 | (has_two ? byte(at + 1) << 8 : 0);
  *out++ = url_alphabet[bits >> 18];
  *out++ = url_alphabet[bits >> 12 & 63];
  if (has_two) *out = url_alphabet[bits >> 6 & 63];
  return text;
}

std::optional<std::string> public_from_base64url(std::string_view text) {
  const std::size_t rest = text.size() % 4;
  if (rest == 1) return std::nullopt;
  std::string bytes(text.size() / 4 * 3 + rest * 3 / 4, '\0');
  char* out = bytes.data();
  const auto digit = [&text](std::size_t at) {
    return std::uint32_t{digits[static_cast<unsigned char>(text[at])]};
  };
  std::uint32_t seen = 0;  // of all digits; one that is none leaves its mark
  std::size_t at = 0;
  for (; at + 4 <= text.size(); at += 4) {
    const std::array four{digit(at), digit(at + 1), digit(at + 2), digit(at + 3)};
    seen |= four[0] | four[1] | four[2] | four[3];
    const std::uint32_t bits = four[0] << 18 | four[1] << 12 | four[2] << 6 | four[3];
    *out++ = static_cast<char>(bits >> 16 & 0xff);
    *out++ = static_cast<char>(bits >> 8 & 0xff);
    *out++ = static_cast<char>(bits & 0xff);
  }
  if (rest != 0) {
    const std::array three{digit(at), digit(at + 1), rest == 3 ? digit(at + 2) : 0};
    seen |= three[0] | three[1] | three[2];
    const std::uint32_t bits = three[0] << 18 | three[1] << 12 | three[2] << 6;
    // The bits behind the last byte carry nothing and must be zero.
    if ((bits & (rest == 3 ? 0xffU : 0xffffU)) != 0) return std::nullopt;
    *out++ = static_cast<char>(bits >> 16 & 0xff);
    if (rest == 3) *out = static_cast<char>(bits >> 8 & 0xff);
  }
  if ((seen & no_digit) != 0) return std::nullopt;
  return bytes;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  if (!decode_into(out, text, sodium_base64_VARIANT_ORIGINAL_NO_PADDING)) return std::nullopt;
  return out;
}

std::optional<secret> secret_from_base64url(std::string_view text) {
  std::string out;
  std::optional<secret> decoded;
  if (decode_into(out, text, variant)) decoded.emplace(std::string_view{out});
  wipe(out.data(), out.capacity());
  return decoded;
}

}  // namespace pam::crypto::detail
