#pragma once

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <memory>
#include <string>
#include <string_view>

#include "server/crypto/error.hpp"

namespace pam::crypto::detail {

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

using evp_pkey = std::unique_ptr<EVP_PKEY, freed_by<EVP_PKEY_free>>;
using evp_pkey_ctx = std::unique_ptr<EVP_PKEY_CTX, freed_by<EVP_PKEY_CTX_free>>;
using evp_md_ctx = std::unique_ptr<EVP_MD_CTX, freed_by<EVP_MD_CTX_free>>;
using ecdsa_sig = std::unique_ptr<ECDSA_SIG, freed_by<ECDSA_SIG_free>>;
using big_number = std::unique_ptr<BIGNUM, freed_by<BN_clear_free>>;
using param_builder = std::unique_ptr<OSSL_PARAM_BLD, freed_by<OSSL_PARAM_BLD_free>>;
using params = std::unique_ptr<OSSL_PARAM, freed_by<OSSL_PARAM_free>>;

/// Empties this thread's OpenSSL error queue, so that nothing of ours is taken for a TLS error of the
/// connection that the same thread serves next, and names `what` and the first reason.
[[nodiscard]] error openssl_failure(std::string_view what, errc code = errc::failure);

}  // namespace pam::crypto::detail
