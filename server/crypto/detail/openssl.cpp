#include "server/crypto/detail/openssl.hpp"

#include <openssl/err.h>

namespace pam::crypto::detail {

error openssl_failure(std::string_view what, errc code) {
  const unsigned long first = ERR_get_error();
  ERR_clear_error();
  const char* reason = first != 0 ? ERR_reason_error_string(first) : nullptr;
  std::string detail{what};
  if (reason != nullptr) detail.append(": ").append(reason);
  return {code, std::move(detail)};
}

}  // namespace pam::crypto::detail
