#include "load-tests/swarm/tls_link.hpp"

#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace pam::load {
namespace {

/// What OpenSSL wants before each call; to look costs less than to clear.
void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

}  // namespace

tls_client::tls_client(const std::string& certificate_file, bool keeps_sessions)
    : context_(SSL_CTX_new(TLS_client_method())) {
  if (context_ == nullptr) throw std::runtime_error("OpenSSL gives no client context");
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_mode(context_, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_CTX_set_read_ahead(context_, 1);
  if (keeps_sessions) {
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    // A server that dies says no goodbye; its clients resume all the same, as browsers do.
    SSL_CTX_set_options(context_, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_sess_set_new_cb(context_, &tls_client::keep_session);
  } else {
    SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_OFF);
  }
  if (SSL_CTX_load_verify_locations(context_, certificate_file.c_str(), nullptr) != 1) {
    SSL_CTX_free(context_);
    throw std::runtime_error("no PEM certificate in " + certificate_file);
  }
  // The server's own certificate may be the anchor, whoever issued it.
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context_), X509_V_FLAG_PARTIAL_CHAIN);
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
}

tls_client::~tls_client() {
  SSL_CTX_free(context_);
}

// Called from within SSL_read of the link whose ticket has come.
int tls_client::keep_session(ssl_st* connection, ssl_session_st* session) {
  static_cast<tls_link*>(SSL_get_app_data(connection))->session_.reset(session);
  return 1;  // the reference is ours
}

void tls_link::session_delete::operator()(ssl_session_st* of) const {
  SSL_SESSION_free(of);
}

void tls_link::ssl_delete::operator()(ssl_st* of) const {
  SSL_free(of);
}

tls_link::~tls_link() {
  close();
}

bool tls_link::open(const tls_client& context, const sockaddr_in& source, const sockaddr_in& target) {
  close();
  descriptor_ = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (descriptor_ < 0) return false;
  const int on = 1;
  ::setsockopt(descriptor_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  // A port that waits in TIME_WAIT may be taken again; one in use is refused by connect().
  ::setsockopt(descriptor_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Port 0 is chosen at connect(): 28,000 and more for each pair of source and target.
  ::setsockopt(descriptor_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
  const auto* from = reinterpret_cast<const sockaddr*>(&source);
  const auto* to = reinterpret_cast<const sockaddr*>(&target);
  const bool is_under_way = ::bind(descriptor_, from, sizeof(source)) == 0 &&
                            (::connect(descriptor_, to, sizeof(target)) == 0 || errno == EINPROGRESS);
  ssl_.reset(is_under_way ? SSL_new(context.native()) : nullptr);
  if (!ssl_ || SSL_set_fd(ssl_.get(), descriptor_) != 1) {
    close();
    return false;
  }
  SSL_set_tlsext_host_name(ssl_.get(), "localhost");
  SSL_set_app_data(ssl_.get(), this);
  // A ticket that cannot be used any more means a full handshake.
  if (session_) SSL_set_session(ssl_.get(), session_.get());
  SSL_set_connect_state(ssl_.get());
  state_ = link_state::connecting;
  return true;
}

tls_link::outcome tls_link::explain(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return outcome::want_read;
    case SSL_ERROR_WANT_WRITE:
      return outcome::want_write;
    case SSL_ERROR_ZERO_RETURN:
      return outcome::ended;
    default:
      forget_errors();
      return outcome::failed;
  }
}

tls_link::outcome tls_link::advance() {
  if (state_ == link_state::connecting) {
    int failure = 0;
    socklen_t size = sizeof(failure);
    ::getsockopt(descriptor_, SOL_SOCKET, SO_ERROR, &failure, &size);
    if (failure != 0) return outcome::failed;
    state_ = link_state::handshaking;
  }
  forget_errors();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return explain(result);
  state_ = link_state::ready;
  return outcome::done;
}

tls_link::transfer tls_link::read(std::span<char> into) {
  forget_errors();
  std::size_t got = 0;
  const int result = SSL_read_ex(ssl_.get(), into.data(), into.size(), &got);
  if (result != 1) return {explain(result), 0};
  return {outcome::done, got};
}

tls_link::transfer tls_link::write(std::string_view from) {
  forget_errors();
  std::size_t put = 0;
  const int result = SSL_write_ex(ssl_.get(), from.data(), from.size(), &put);
  if (result != 1) return {explain(result), 0};
  return {outcome::done, put};
}

bool tls_link::has_pending() const {
  return ssl_ && SSL_has_pending(ssl_.get()) == 1;
}

bool tls_link::is_resumed() const {
  return SSL_session_reused(ssl_.get()) == 1;
}

void tls_link::close() {
  if (ssl_ && state_ == link_state::ready) {
    forget_errors();
    SSL_shutdown(ssl_.get());
    forget_errors();
  }
  abort();
}

void tls_link::abort() {
  // Else OpenSSL takes the missing close_notify for an attack and forgets the session.
  if (ssl_) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  ssl_.reset();
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
  state_ = link_state::closed;
}

}  // namespace pam::load
