#include "server/crypto/detail/evp_key.hpp"

#include <openssl/crypto.h>

#include <string>
#include <vector>

namespace pam::crypto::detail {

namespace {

/// Collects the members of a key for EVP_PKEY_fromdata(); numbers and array are wiped afterwards.
class key_data {
 public:
  key_data() : builder_(OSSL_PARAM_BLD_new()) {}

  void number(const char* name, std::string_view octets) {
    // Kept until build(): the builder stores the pointer.
    big_number value{BN_bin2bn(reinterpret_cast<const unsigned char*>(octets.data()),
                               static_cast<int>(octets.size()), nullptr)};
    is_good_ = is_good_ && value && OSSL_PARAM_BLD_push_BN(builder_.get(), name, value.get()) == 1;
    numbers_.push_back(std::move(value));
  }
  void text(const char* name, const char* value) {
    is_good_ = is_good_ && OSSL_PARAM_BLD_push_utf8_string(builder_.get(), name, value, 0) == 1;
  }
  void octets(const char* name, const std::string& value) {
    is_good_ =
        is_good_ && OSSL_PARAM_BLD_push_octet_string(builder_.get(), name, value.data(), value.size()) == 1;
  }

  result<evp_pkey> build(const char* type, bool is_private) {
    if (!builder_ || !is_good_) return openssl_failure("the key's numbers are not usable", errc::bad_key);
    const params members{OSSL_PARAM_BLD_to_param(builder_.get())};
    const evp_pkey_ctx context{EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr)};
    EVP_PKEY* made = nullptr;
    const bool is_made =
        members && context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
        EVP_PKEY_fromdata(context.get(), &made, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                          members.get()) == 1;
    evp_pkey key{made};
    for (OSSL_PARAM* each = members.get(); each != nullptr && each->key != nullptr; ++each) {
      OPENSSL_cleanse(each->data, each->data_size);
    }
    if (!is_made) return openssl_failure("not a key", errc::bad_key);
    return key;
  }

 private:
  param_builder builder_;
  std::vector<big_number> numbers_;
  bool is_good_ = true;
};

result<evp_pkey> checked(result<evp_pkey> made, bool is_private) {
  if (made.has_error()) return made;
  const evp_pkey_ctx context{EVP_PKEY_CTX_new_from_pkey(nullptr, made->get(), nullptr)};
  if (!context || EVP_PKEY_public_check(context.get()) != 1) {
    return openssl_failure("the public key is not valid", errc::bad_key);
  }
  if (is_private && EVP_PKEY_pairwise_check(context.get()) != 1) {
    return openssl_failure("the private members do not belong to the public ones", errc::bad_key);
  }
  return made;
}

}  // namespace

result<evp_pkey> make_p256(std::string_view x, std::string_view y, std::string_view d) {
  // Uncompressed point, SEC 1 section 2.3.3.
  std::string point(1, '\x04');
  point.append(x).append(y);
  key_data data;
  data.text(OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1");
  data.octets(OSSL_PKEY_PARAM_PUB_KEY, point);
  if (!d.empty()) data.number(OSSL_PKEY_PARAM_PRIV_KEY, d);
  return checked(data.build("EC", !d.empty()), !d.empty());
}

result<evp_pkey> make_ed25519(std::string_view x, std::string_view d) {
  const auto octets = [](std::string_view text) {
    return reinterpret_cast<const unsigned char*>(text.data());
  };
  evp_pkey key{d.empty() ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, octets(x), x.size())
                         : EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, octets(d), d.size())};
  std::string derived(ed25519_octets, '\0');
  std::size_t length = derived.size();
  if (!key || EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(derived.data()),
                                          &length) != 1) {
    return openssl_failure("not an Ed25519 key", errc::bad_key);
  }
  if (derived != x) return error{errc::bad_key, "the private members do not belong to the public ones"};
  return key;
}

result<evp_pkey> make_rsa(std::string_view n, std::string_view d, std::span<const secret> crt) {
  // Before any arithmetic: checking a key of absurd size costs seconds.
  const std::size_t bits = n.size() * 8;
  if (bits < static_cast<std::size_t>(min_rsa_bits) || bits > static_cast<std::size_t>(max_rsa_bits)) {
    return error{errc::bad_key, "an RSA modulus must have 2048 to 4096 bits"};
  }
  key_data data;
  data.number(OSSL_PKEY_PARAM_RSA_N, n);
  data.number(OSSL_PKEY_PARAM_RSA_E, std::string_view{"\x01\x00\x01", 3});
  if (!d.empty()) {
    data.number(OSSL_PKEY_PARAM_RSA_D, d);
    for (std::size_t i = 0; i < crt.size(); ++i) data.number(rsa_crt_members[i].openssl_name, crt[i].view());
  }
  auto made = checked(data.build("RSA", !d.empty()), !d.empty());
  if (made.has_value() && EVP_PKEY_get_bits(made->get()) < min_rsa_bits) {
    return error{errc::bad_key, "an RSA modulus must have 2048 to 4096 bits"};
  }
  return made;
}

}  // namespace pam::crypto::detail
