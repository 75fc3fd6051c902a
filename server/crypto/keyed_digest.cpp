#include "server/crypto/keyed_digest.hpp"

#include "server/crypto/detail/sodium.hpp"
#include "server/crypto/random.hpp"

namespace pam::crypto {
namespace {

const unsigned char* bytes_of(const std::byte* from) {
  return reinterpret_cast<const unsigned char*>(from);
}

}  // namespace

keyed_digest::keyed_digest() {
  fill_random(key_);
}

keyed_digest::~keyed_digest() {
  sodium_memzero(key_.data(), key_.size());
}

keyed_digest::value keyed_digest::of(std::string_view text) const {
  value digest;
  // Fails for lengths out of range only, and these are constants.
  crypto_generichash(reinterpret_cast<unsigned char*>(digest.data()), digest.size(),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size(), bytes_of(key_.data()),
                     key_.size());
  return digest;
}

}  // namespace pam::crypto
