#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <array>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/evp_key.hpp"
#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/detail/strict_json.hpp"
#include "server/crypto/random.hpp"

namespace pam::crypto::detail {

namespace {

/// Builds a JSON object of strings in memory that is wiped: a std::string that grows leaves copies.
class jwk_writer {
 public:
  jwk_writer() { text_.reserve(capacity); }
  ~jwk_writer() { wipe(text_.data(), text_.capacity()); }
  jwk_writer(const jwk_writer&) = delete;
  jwk_writer& operator=(const jwk_writer&) = delete;

  void put(std::string_view name, std::string_view value) {
    text_.append(text_.empty() ? "{\"" : ",\"").append(name).append("\":\"").append(value).append("\"");
  }
  void put(std::string_view name, const secret& octets) {
    std::string encoded = to_base64url(octets.view());
    put(name, encoded);
    wipe(encoded.data(), encoded.size());
  }
  void put_raw(std::string_view members) { text_.append(text_.empty() ? "{" : ",").append(members); }
  secret finish() {
    text_.append("}");
    return secret{text_};
  }

 private:
  static constexpr std::size_t capacity = 8192;  ///< a 4096-bit RSA key takes 3.3 KB
  std::string text_;
};

/// A number of `key` as octets, `length` of them or as many as it needs; empty when there is none.
secret number_of(const evp_pkey& key, const char* name, std::size_t length = 0) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key.get(), name, &raw) != 1) return {};
  const big_number value{raw};
  std::string octets(length != 0 ? length : static_cast<std::size_t>(BN_num_bytes(raw)), '\0');
  BN_bn2binpad(raw, reinterpret_cast<unsigned char*>(octets.data()), static_cast<int>(octets.size()));
  secret result{octets};
  wipe(octets.data(), octets.size());
  return result;
}

secret raw_of(const evp_pkey& key, int (*get)(const EVP_PKEY*, unsigned char*, std::size_t*)) {
  std::array<unsigned char, ed25519_octets> octets = {};
  std::size_t length = octets.size();
  if (get(key.get(), octets.data(), &length) != 1) return {};
  secret result{std::as_bytes(std::span{octets})};
  wipe(octets.data(), octets.size());
  return result;
}

std::string member(std::string_view name, const secret& octets) {
  return json_string(name) + ":" + json_string(to_base64url(octets.view()));
}

std::string public_members_of(const evp_pkey& key, algorithm alg) {
  switch (alg) {
    case algorithm::es256:
      return R"("crv":"P-256","kty":"EC",)" +
             member("x", number_of(key, OSSL_PKEY_PARAM_EC_PUB_X, p256_octets)) + "," +
             member("y", number_of(key, OSSL_PKEY_PARAM_EC_PUB_Y, p256_octets));
    case algorithm::rs256:
      return member("e", number_of(key, OSSL_PKEY_PARAM_RSA_E)) + R"(,"kty":"RSA",)" +
             member("n", number_of(key, OSSL_PKEY_PARAM_RSA_N));
    case algorithm::eddsa:
      return R"("crv":"Ed25519","kty":"OKP",)" + member("x", raw_of(key, EVP_PKEY_get_raw_public_key));
    case algorithm::hs256:
      break;
  }
  return {};
}

void put_private_members(jwk_writer& out, const evp_pkey& key, algorithm alg) {
  if (alg == algorithm::es256) out.put("d", number_of(key, OSSL_PKEY_PARAM_PRIV_KEY, p256_octets));
  if (alg == algorithm::eddsa) out.put("d", raw_of(key, EVP_PKEY_get_raw_private_key));
  if (alg == algorithm::rs256) {
    out.put("d", number_of(key, OSSL_PKEY_PARAM_RSA_D));
    for (const auto& [jwk_name, openssl_name] : rsa_crt_members)
      out.put(jwk_name, number_of(key, openssl_name));
  }
}

evp_pkey fresh_key(algorithm alg) {
  switch (alg) {
    case algorithm::es256:
      return evp_pkey{EVP_EC_gen("P-256")};
    case algorithm::rs256:
      return evp_pkey{EVP_RSA_gen(static_cast<unsigned>(min_rsa_bits))};
    case algorithm::eddsa:
      return evp_pkey{EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")};
    case algorithm::hs256:
      break;
  }
  return nullptr;
}

template <std::size_t Size>
secret random_octets() {
  std::array<std::byte, Size> octets = {};
  fill_random(octets);
  secret result{std::span<const std::byte>{octets}};
  wipe(octets.data(), octets.size());
  return result;
}

void put_use(jwk_writer& out, jwk_use use) {
  out.put("pam_use", to_string(use));
  out.put("pam_state", "current");
}

}  // namespace

result<secret> generate_signing_jwk(jwk_use use, algorithm alg) {
  jwk_writer out;
  if (alg == algorithm::hs256) {
    out.put("kty", "oct");
    out.put("kid", random_octets<16>());
    out.put("k", random_octets<64>());
  } else {
    const evp_pkey key = fresh_key(alg);
    if (!key) return openssl_failure("cannot make a key");
    const std::string members = public_members_of(key, alg);
    out.put_raw(members);
    out.put("kid", thumbprint(members));
    put_private_members(out, key, alg);
  }
  out.put("alg", name_of(alg));
  out.put("use", "sig");
  put_use(out, use);
  return out.finish();
}

secret generate_numbered_jwk(jwk_use use) {
  jwk_writer out;
  out.put("kty", "oct");
  out.put("kid", std::to_string(random_below(1U << 24)));
  out.put("k", random_octets<32>());
  put_use(out, use);
  return out.finish();
}

}  // namespace pam::crypto::detail
