#include "server/net/tls.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>

#include "server/net/detail/ticket_keys.hpp"

namespace pam::net {
namespace {

using boost::system::result;

struct context_delete {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using context_pointer = std::unique_ptr<SSL_CTX, context_delete>;

/// ECDHE for forward secrecy, AEAD only (RFC 9325 section 4.2); TLS 1.3 suites are all of that kind.
constexpr const char* tls12_suites =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384";
/// AES-128 first, as above: as strong as X25519 and P-256 are, with fewer rounds, and its SHA-256 is what
/// processors have instructions for; a handshake hashes a dozen times. Who puts ChaCha20 first gets it.
constexpr const char* tls13_suites =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
constexpr std::array<unsigned char, 9> http11{8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
/// A ticket outlives its key's acceptance by nothing: the previous hour's key is the oldest accepted.
constexpr long ticket_seconds = 3600;

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  const char* const text = ERR_reason_error_string(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

tls_error failed(std::string message, std::string key = "") {
  return tls_error{std::move(message), std::move(key)};
}

/// Opens the file once to tell "missing" and "not allowed" from "not PEM".
std::optional<tls_error> check_readable(const std::string& file, std::string_view what,
                                        const std::string& key) {
  if (file.empty()) return failed("no " + std::string(what) + ": set " + key, key);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(std::fopen(file.c_str(), "re"), &std::fclose);
  if (opened) return std::nullopt;
  const std::string reason = std::strerror(errno);
  return failed(std::string(what) + " " + file + " cannot be read: " + reason + "; check " + key +
                    " and the file's owner and mode",
                key);
}

int select_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
  unsigned char* selected = nullptr;
  const int outcome =
      SSL_select_next_proto(&selected, length, http11.data(), http11.size(), offered, offered_length);
  // RFC 7301 section 3.2: no common protocol is a fatal alert, not a guess.
  if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = selected;
  return SSL_TLSEXT_ERR_OK;
}

/// Never asks on the terminal for the password of an encrypted key.
int no_password(char*, int, int, void*) {
  return 0;
}

bool apply_policy(SSL_CTX* context) {
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, ticket_seconds);
  SSL_CTX_set_default_passwd_cb(context, no_password);
  SSL_CTX_set_alpn_select_cb(context, select_protocol, nullptr);
  constexpr std::array<unsigned char, 8> session_context{'p', 'a', 'm', '-', 'a', 'u', 't', 'h'};
  return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1 &&
         SSL_CTX_set_max_early_data(context, 0) == 1 && SSL_CTX_set_num_tickets(context, 1) == 1 &&
         SSL_CTX_set_cipher_list(context, tls12_suites) == 1 &&
         SSL_CTX_set_ciphersuites(context, tls13_suites) == 1 &&
         SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1 &&
         SSL_CTX_set_session_id_context(context, session_context.data(), session_context.size()) == 1;
}

std::optional<tls_error> check_validity(SSL_CTX* context, const std::string& file, const std::string& key) {
  const X509* const certificate = SSL_CTX_get0_certificate(context);
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) {
    return failed("certificate " + file + " has expired: renew it", key);
  }
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) {
    return failed("certificate " + file + " is not valid yet: check the clock of this host", key);
  }
  return std::nullopt;
}

std::optional<tls_error> load_identity(SSL_CTX* context, const tls_config& settings) {
  const std::string& certificate = settings.certificate_file;
  const std::string& key = settings.private_key_file;
  const std::string at_certificate = settings.section + ".certificate_file";
  const std::string at_key = settings.section + ".private_key_file";
  if (auto why = check_readable(certificate, "certificate", at_certificate)) return why;
  if (auto why = check_readable(key, "private key", at_key)) return why;
  if (SSL_CTX_use_certificate_chain_file(context, certificate.c_str()) != 1) {
    return failed("certificate " + certificate + " is no acceptable PEM chain (" + openssl_reason() +
                      "): the server's certificate comes first, then its issuers",
                  at_certificate);
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM) != 1) {
    const std::string reason = openssl_reason();
    if (SSL_CTX_get0_privatekey(context) == nullptr && reason.find("mismatch") == std::string::npos) {
      return failed("private key " + key + " is no acceptable unencrypted PEM key (" + reason + ")", at_key);
    }
    return failed("private key " + key + " does not belong to certificate " + certificate +
                      ": give the key it was issued for",
                  at_key);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    ERR_clear_error();
    return failed("private key " + key + " does not belong to certificate " + certificate +
                      ": give the key it was issued for",
                  at_key);
  }
  return check_validity(context, certificate, at_certificate);
}

/// Clients must prove who they are, at every connection.
std::optional<tls_error> require_clients(SSL_CTX* context, const tls_config& settings) {
  const std::string& file = settings.client_ca_file;
  const std::string at_file = settings.section + ".client_ca_file";
  if (auto why = check_readable(file, "authorities of clients", at_file)) return why;
  STACK_OF(X509_NAME)* const names = SSL_load_client_CA_file(file.c_str());
  if (names == nullptr || SSL_CTX_load_verify_file(context, file.c_str()) != 1) {
    sk_X509_NAME_pop_free(names, X509_NAME_free);
    return failed("authorities of clients " + file + " hold no acceptable PEM certificate (" +
                      openssl_reason() + "): give the certificates that sign those of clients",
                  at_file);
  }
  SSL_CTX_set_client_CA_list(context, names);  // takes them
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  // A resumed session would outlive an authority that was taken out of the file.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  if (SSL_CTX_set_num_tickets(context, 0) == 1) return std::nullopt;
  return failed("OpenSSL refuses to do without session tickets: " + openssl_reason());
}

result<std::string, tls_error> ticket_secret(const tls_config& settings) {
  const std::string& file = settings.ticket_secret_file;
  const std::string at_file = settings.section + ".ticket_secret_file";
  constexpr std::size_t least = detail::ticket_keys::least_secret;
  if (file.empty()) {
    std::string random(least, '\0');
    if (RAND_bytes(reinterpret_cast<unsigned char*>(random.data()), static_cast<int>(random.size())) != 1) {
      return failed("no random numbers for session tickets: " + openssl_reason());
    }
    return {boost::system::in_place_value, std::move(random)};
  }
  if (auto why = check_readable(file, "session ticket secret", at_file)) return *why;
  std::ifstream stream(file, std::ios::binary);
  std::string secret{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  if (stream.bad() || secret.size() < least) {
    return failed("session ticket secret " + file + " is shorter than 32 bytes: fill it with random bytes, " +
                      "the same for every process",
                  at_file);
  }
  return {boost::system::in_place_value, std::move(secret)};
}

}  // namespace

void throw_exception_from_error(const tls_error& failure, const boost::source_location&) {
  throw std::runtime_error(failure.message);
}

tls_context::tls_context(tls_context&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}

tls_context& tls_context::operator=(tls_context&& other) noexcept {
  if (this != &other) {
    SSL_CTX_free(context_);
    context_ = std::exchange(other.context_, nullptr);
  }
  return *this;
}

tls_context::~tls_context() {
  SSL_CTX_free(context_);
}

result<tls_context, tls_error> tls_context::load(const tls_config& settings) {
  ERR_clear_error();
  context_pointer context(SSL_CTX_new(TLS_server_method()));
  if (!context || !apply_policy(context.get())) {
    return failed("OpenSSL refuses the TLS policy: " + openssl_reason());
  }
  if (auto why = load_identity(context.get(), settings)) return *why;
  if (!settings.client_ca_file.empty()) {
    if (auto why = require_clients(context.get(), settings)) return *why;
  }
  auto secret = ticket_secret(settings);
  if (secret.has_error()) return secret.error();
  if (!detail::ticket_keys::install(context.get(), std::move(*secret))) {
    return failed("session ticket keys cannot be installed: " + openssl_reason());
  }
  return tls_context(context.release());
}

}  // namespace pam::net
