#include "server/crypto/digest.hpp"

#include <cstring>

#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto {

sha256_digest sha256(std::string_view text) {
  sha256_digest digest = {};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(digest.data()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size());
  return digest;
}

keyed_hasher::keyed_hasher() {
  detail::ensure_sodium();
  static_assert(crypto_shorthash_siphashx24_KEYBYTES == sizeof key_);
  randombytes_buf(key_.data(), key_.size());
}

keyed_hasher::value keyed_hasher::of(std::string_view text) const {
  std::array<unsigned char, crypto_shorthash_siphashx24_BYTES> hash = {};
  crypto_shorthash_siphashx24(hash.data(), reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                              key_.data());
  value made;
  std::memcpy(&made.high, hash.data(), sizeof made.high);
  std::memcpy(&made.low, hash.data() + sizeof made.high, sizeof made.low);
  return made;
}

}  // namespace pam::crypto
