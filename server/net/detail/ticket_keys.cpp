#include "server/net/detail/ticket_keys.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace pam::net::detail {
namespace {

struct kdf_delete {
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};

constexpr std::size_t iv_bytes = 16;

/// The slot of an SSL_CTX that holds its keys; the context frees them with itself.
int slot() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr,
      [](void*, void* held, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<ticket_keys*>(held); });
  return index;
}

bool prepare(const ticket_keys::key& key, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
             int encrypts) {
  char digest[] = "SHA256";
  const std::array<OSSL_PARAM, 3> params{
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<unsigned char*>(key.integrity.data()),
                                        key.integrity.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, params.data()) == 1 &&
         EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key.encryption.data(), iv, encrypts) == 1;
}

/// SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 go on, 2 go on and renew, 0 no such key, -1 error.
int on_ticket(SSL* connection, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
              EVP_MAC_CTX* mac, int encrypts) {
  auto* keys = static_cast<ticket_keys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(connection), slot()));
  if (keys == nullptr) return -1;
  const std::time_t now = std::time(nullptr);
  if (encrypts != 0) {
    auto key = keys->current(now);
    if (!key || RAND_bytes(iv, iv_bytes) != 1) return -1;
    std::copy(key->name.begin(), key->name.end(), name);
    const bool is_ready = prepare(*key, iv, cipher, mac, encrypts);
    OPENSSL_cleanse(&*key, sizeof(*key));
    return is_ready ? 1 : -1;
  }
  auto key = keys->find(std::span<const unsigned char, 16>(name, 16), now);
  if (!key) return 0;
  // RFC 8446 appendix C.4: clients use a ticket of TLS 1.3 once, so whoever resumes needs the next one. With
  // keys of its own OpenSSL would send it; with a callback it does what it is told.
  const bool is_used_up = SSL_version(connection) >= TLS1_3_VERSION;
  const bool is_current = key->hour == static_cast<std::uint64_t>(now) / 3600;
  const bool is_ready = prepare(*key, iv, cipher, mac, encrypts);
  OPENSSL_cleanse(&*key, sizeof(*key));
  if (!is_ready) return -1;
  return is_current && !is_used_up ? 1 : 2;
}

}  // namespace

ticket_keys::ticket_keys(std::string secret) : secret_(std::move(secret)) {}

ticket_keys::~ticket_keys() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(keys_.data(), sizeof(keys_));
}

std::optional<ticket_keys::key> ticket_keys::current(std::time_t now) {
  const std::lock_guard lock(mutex_);
  if (!refresh(static_cast<std::uint64_t>(now) / 3600)) return std::nullopt;
  return keys_[1];
}

std::optional<ticket_keys::key> ticket_keys::find(std::span<const unsigned char, 16> name, std::time_t now) {
  const std::lock_guard lock(mutex_);
  if (!refresh(static_cast<std::uint64_t>(now) / 3600)) return std::nullopt;
  for (const key& candidate : keys_) {
    if (std::equal(name.begin(), name.end(), candidate.name.begin())) return candidate;
  }
  return std::nullopt;
}

bool ticket_keys::refresh(std::uint64_t hour) {
  if (is_filled_ && keys_[1].hour == hour) return true;
  is_filled_ = false;
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (!derive(hour + i - 1, keys_[i])) return false;
  }
  is_filled_ = true;
  return true;
}

bool ticket_keys::derive(std::uint64_t hour, key& into) const {
  const std::unique_ptr<EVP_KDF, kdf_delete> kdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  if (!kdf) return false;
  const std::unique_ptr<EVP_KDF_CTX, kdf_delete> context(EVP_KDF_CTX_new(kdf.get()));
  if (!context) return false;
  std::string info = "pam-auth session ticket ";
  for (int shift = 56; shift >= 0; shift -= 8) info.push_back(static_cast<char>(hour >> shift & 0xff));
  char digest[] = "SHA256";
  auto* secret = const_cast<char*>(secret_.data());
  const std::array<OSSL_PARAM, 4> params{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, secret_.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  std::array<unsigned char, 80> bytes{};
  if (EVP_KDF_derive(context.get(), bytes.data(), bytes.size(), params.data()) != 1) return false;
  into.hour = hour;
  std::copy_n(bytes.begin(), 16, into.name.begin());
  std::copy_n(bytes.begin() + 16, 32, into.encryption.begin());
  std::copy_n(bytes.begin() + 48, 32, into.integrity.begin());
  OPENSSL_cleanse(bytes.data(), bytes.size());
  return true;
}

bool ticket_keys::install(SSL_CTX* context, std::string secret) {
  auto keys = std::make_unique<ticket_keys>(std::move(secret));
  if (slot() < 0 || SSL_CTX_set_ex_data(context, slot(), keys.get()) != 1) return false;
  static_cast<void>(keys.release());  // owned by the context from here
  return SSL_CTX_set_tlsext_ticket_key_evp_cb(context, on_ticket) == 1;
}

}  // namespace pam::net::detail
