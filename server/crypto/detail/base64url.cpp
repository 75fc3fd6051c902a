#include "server/crypto/detail/base64url.hpp"

#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto::detail {

namespace {

constexpr int variant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

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
