#pragma once

#include <memory>
#include <string>

#include <boost/system/result.hpp>

#include "server/net/config.hpp"

struct ssl_ctx_st;

namespace pam::net {

/// Why a TLS context could not be made: names the file and OpenSSL's reason, with the cure.
struct tls_error {
  std::string message;
  std::string key;  ///< "section.key" that names the file at fault; empty: no file's
};
[[noreturn]] void throw_exception_from_error(const tls_error& failure, const boost::source_location& where);

/// An immutable server context: TLS 1.2 (ECDHE + AEAD) and 1.3, ALPN http/1.1, released buffers, read
/// ahead, no session cache, no renegotiation, no 0-RTT. Shared by reference count inside OpenSSL: a
/// reload makes a new one and running connections keep theirs.
class tls_context {
 public:
  static boost::system::result<tls_context, tls_error> load(const tls_config& settings);
  tls_context(tls_context&&) noexcept;
  tls_context& operator=(tls_context&&) noexcept;
  tls_context(const tls_context&) = delete;
  tls_context& operator=(const tls_context&) = delete;
  ~tls_context();

  [[nodiscard]] ssl_ctx_st* native() const { return context_; }

 private:
  explicit tls_context(ssl_ctx_st* context) : context_(context) {}
  ssl_ctx_st* context_;
};

}  // namespace pam::net
