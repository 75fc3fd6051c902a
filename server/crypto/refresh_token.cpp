#include "server/crypto/refresh_token.hpp"

#include <sodium.h>

#include <algorithm>

namespace pam::crypto {

namespace {

// Where each member stands in the image.
constexpr std::size_t key_id_at = 1;
constexpr std::size_t account_at = 4;
constexpr std::size_t session_at = 20;
constexpr std::size_t generation_at = 36;
constexpr std::size_t salt_at = 40;
constexpr std::size_t secret_at = 56;

void put(refresh_token_image& image, std::size_t at, std::size_t width, std::uint32_t value) {
  for (std::size_t i = 0; i < width; ++i) {
    image[at + i] = static_cast<std::byte>(value >> (8 * (width - 1 - i)));
  }
}

std::uint32_t get(const refresh_token_image& image, std::size_t at, std::size_t width) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < width; ++i)
    value = (value << 8) | std::to_integer<std::uint32_t>(image[at + i]);
  return value;
}

template <class Bytes>
void put(refresh_token_image& image, std::size_t at, const Bytes& bytes) {
  std::ranges::copy(std::as_bytes(std::span{bytes}), image.begin() + static_cast<std::ptrdiff_t>(at));
}

template <class Bytes>
void get(const refresh_token_image& image, std::size_t at, Bytes& bytes) {
  const auto out = std::as_writable_bytes(std::span{bytes});
  std::ranges::copy(std::span{image}.subspan(at, out.size()), out.begin());
}

}  // namespace

refresh_token_image image_of(const refresh_token& token) {
  refresh_token_image image = {};
  image[0] = static_cast<std::byte>(token.version);
  put(image, key_id_at, 3, token.key_id);
  put(image, account_at, token.account.data);
  put(image, session_at, token.session.data);
  put(image, generation_at, 4, token.generation);
  put(image, salt_at, token.salt);
  put(image, secret_at, token.secret);
  return image;
}

refresh_token parse(const refresh_token_image& image) {
  refresh_token token;
  token.version = std::to_integer<std::uint8_t>(image[0]);
  token.key_id = get(image, key_id_at, 3);
  get(image, account_at, token.account.data);
  get(image, session_at, token.session.data);
  token.generation = get(image, generation_at, 4);
  get(image, salt_at, token.salt);
  get(image, secret_at, token.secret);
  return token;
}

refresh_token_hash hash_of(const refresh_token& token) {
  const refresh_token_image image = image_of(token);
  refresh_token_hash hash = {};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(hash.data()),
                     reinterpret_cast<const unsigned char*>(image.data()), image.size());
  return hash;
}

}  // namespace pam::crypto
