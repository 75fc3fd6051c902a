#include "server/crypto/digest.hpp"

#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto {

sha256_digest sha256(std::string_view text) {
  sha256_digest digest = {};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(digest.data()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size());
  return digest;
}

}  // namespace pam::crypto
