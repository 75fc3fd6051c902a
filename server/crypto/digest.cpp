#include "server/crypto/digest.hpp"

#include <openssl/evp.h>

#include <stdexcept>

#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto {

sha256_digest sha256(std::string_view text) {
  sha256_digest digest = {};
  crypto_hash_sha256(reinterpret_cast<unsigned char*>(digest.data()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size());
  return digest;
}

sha1_digest sha1(std::string_view text) {
  sha1_digest digest = {};
  if (EVP_Digest(text.data(), text.size(), reinterpret_cast<unsigned char*>(digest.data()), nullptr,
                 EVP_sha1(), nullptr) != 1) {
    throw std::runtime_error("OpenSSL has no SHA-1");
  }
  return digest;
}

}  // namespace pam::crypto
