#include "server/crypto/detail/signature.hpp"

#include <openssl/err.h>
#include <sodium.h>

#include <array>

namespace pam::crypto::detail {

namespace {

constexpr std::size_t p256_bytes = 32;
constexpr std::size_t hmac_bytes = crypto_auth_hmacsha256_BYTES;

const unsigned char* octets(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
unsigned char* octets(std::string& text) {
  return reinterpret_cast<unsigned char*>(text.data());
}

// Ed25519 hashes by itself; OpenSSL wants no digest named then.
const EVP_MD* digest_of(algorithm alg) {
  return alg == algorithm::eddsa ? nullptr : EVP_sha256();
}

std::array<unsigned char, hmac_bytes> hmac_sha256(const secret& key, std::string_view message) {
  std::array<unsigned char, hmac_bytes> mac = {};
  crypto_auth_hmacsha256_state state;
  crypto_auth_hmacsha256_init(&state, octets(key.view()), key.size());
  crypto_auth_hmacsha256_update(&state, octets(message), message.size());
  crypto_auth_hmacsha256_final(&state, mac.data());
  wipe(&state, sizeof state);
  return mac;
}

result<std::string> jose_from_der(std::string_view der) {
  const unsigned char* at = octets(der);
  const ecdsa_sig parsed{d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size()))};
  if (!parsed) return openssl_failure("ES256: unreadable signature");
  std::string jose(2 * p256_bytes, '\0');
  if (BN_bn2binpad(ECDSA_SIG_get0_r(parsed.get()), octets(jose), p256_bytes) < 0 ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parsed.get()), octets(jose) + p256_bytes, p256_bytes) < 0) {
    return openssl_failure("ES256: signature out of range");
  }
  return jose;
}

/// Empty when `jose` cannot be a P-256 signature. The range of r and s is OpenSSL's to check.
std::string der_from_jose(std::string_view jose) {
  if (jose.size() != 2 * p256_bytes) return {};
  const ecdsa_sig pair{ECDSA_SIG_new()};
  big_number r{BN_bin2bn(octets(jose), p256_bytes, nullptr)};
  big_number s{BN_bin2bn(octets(jose.substr(p256_bytes)), p256_bytes, nullptr)};
  if (!pair || !r || !s || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) return {};
  static_cast<void>(r.release());  // the pair owns both now
  static_cast<void>(s.release());
  const int length = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (length <= 0) return {};
  std::string der(static_cast<std::size_t>(length), '\0');
  unsigned char* out = octets(der);
  i2d_ECDSA_SIG(pair.get(), &out);
  return der;
}

result<std::string> sign_with_openssl(const signing_material& material, std::string_view message) {
  const evp_md_ctx context{EVP_MD_CTX_new()};
  if (!context ||
      EVP_DigestSignInit(context.get(), nullptr, digest_of(material.alg), nullptr, material.key.get()) != 1) {
    return openssl_failure("cannot begin to sign");
  }
  std::string signature(static_cast<std::size_t>(EVP_PKEY_get_size(material.key.get())), '\0');
  std::size_t length = signature.size();
  if (EVP_DigestSign(context.get(), octets(signature), &length, octets(message), message.size()) != 1) {
    return openssl_failure("cannot sign");
  }
  signature.resize(length);
  if (material.alg == algorithm::es256) return jose_from_der(signature);
  return signature;
}

bool verify_with_openssl(const signing_material& material, std::string_view message,
                         std::string_view signature) {
  std::string der;
  if (material.alg == algorithm::es256) {
    der = der_from_jose(signature);
    if (der.empty()) return false;
    signature = der;
  }
  const evp_md_ctx context{EVP_MD_CTX_new()};
  const bool is_good = context &&
                       EVP_DigestVerifyInit(context.get(), nullptr, digest_of(material.alg), nullptr,
                                            material.key.get()) == 1 &&
                       EVP_DigestVerify(context.get(), octets(signature), signature.size(), octets(message),
                                        message.size()) == 1;
  // A bad signature leaves reasons in the thread's queue, where SSL_get_error() would find them.
  if (!is_good) ERR_clear_error();
  return is_good;
}

}  // namespace

std::string_view name_of(algorithm alg) {
  switch (alg) {
    case algorithm::es256:
      return "ES256";
    case algorithm::rs256:
      return "RS256";
    case algorithm::eddsa:
      return "EdDSA";
    case algorithm::hs256:
      return "HS256";
  }
  return "";
}

result<std::string> sign(const signing_material& material, std::string_view message) {
  if (!material.can_sign) return error{errc::failure, "the key has no private half"};
  if (material.alg != algorithm::hs256) return sign_with_openssl(material, message);
  const auto mac = hmac_sha256(material.hmac_key, message);
  return std::string{reinterpret_cast<const char*>(mac.data()), mac.size()};
}

bool verify(const signing_material& material, std::string_view message, std::string_view signature) {
  if (material.alg != algorithm::hs256) return verify_with_openssl(material, message, signature);
  const auto mac = hmac_sha256(material.hmac_key, message);
  return equal(std::as_bytes(std::span{mac}), std::as_bytes(std::span{signature}));
}

}  // namespace pam::crypto::detail
