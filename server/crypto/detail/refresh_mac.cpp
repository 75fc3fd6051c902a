#include "server/crypto/detail/refresh_mac.hpp"

#include <algorithm>
#include <string>
#include <string_view>

namespace pam::crypto::detail {

namespace {

constexpr std::string_view domain = "pam refresh v1";

// A token's image from account to salt, in the order the MAC wants it.
constexpr std::size_t message_bytes = domain.size() + 16 + 16 + 16 + 4;

}  // namespace

refresh_mac::refresh_mac(const secret& key) : keyed_{} {
  ensure_sodium();
  crypto_auth_hmacsha256_init(&keyed_, reinterpret_cast<const unsigned char*>(key.view().data()), key.size());
}

std::array<std::byte, 16> refresh_mac::of(const refresh_token& token) const {
  std::array<std::byte, message_bytes> message = {};
  auto out = message.begin();
  const auto append = [&out](const auto& bytes) {
    out = std::ranges::copy(std::as_bytes(std::span{bytes}), out).out;
  };
  append(domain);
  append(token.salt);
  append(token.account.data);
  append(token.session.data);
  for (const int shift : {24, 16, 8, 0}) *out++ = static_cast<std::byte>(token.generation >> shift);
  return over(message);
}

std::array<std::byte, 16> refresh_mac::of(std::string_view domain_of_text, std::string_view text) const {
  std::string message{domain_of_text};
  message.append(1, '\0').append(text);
  return over(std::as_bytes(std::span{message}));
}

std::array<std::byte, 16> refresh_mac::over(std::span<const std::byte> message) const {
  crypto_auth_hmacsha256_state state = keyed_;
  std::array<unsigned char, crypto_auth_hmacsha256_BYTES> mac = {};
  crypto_auth_hmacsha256_update(&state, reinterpret_cast<const unsigned char*>(message.data()),
                                message.size());
  crypto_auth_hmacsha256_final(&state, mac.data());
  std::array<std::byte, 16> truncated = {};
  std::ranges::copy(std::as_bytes(std::span{mac}).first(truncated.size()), truncated.begin());
  wipe(&state, sizeof state);
  wipe(mac.data(), mac.size());
  return truncated;
}

}  // namespace pam::crypto::detail
