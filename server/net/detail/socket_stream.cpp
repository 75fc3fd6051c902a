#include "server/net/detail/socket_stream.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <limits>
#include <utility>

namespace pam::net::detail {
namespace {

using status = io_result::status;

constexpr std::size_t record_header_bytes = 5;  ///< type, version, length (RFC 8446 section 5.1)

socket_stream& stream_of(BIO* bio) {
  return *static_cast<socket_stream*>(BIO_get_data(bio));
}

bool is_try_again(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

int bio_read(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const io_result got = stream_of(bio).read_raw({into, static_cast<std::size_t>(size)});
  if (got.what == status::done) return static_cast<int>(got.bytes);
  if (got.what == status::want_read) BIO_set_retry_read(bio);
  return got.what == status::ended ? 0 : -1;
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const ssize_t put = ::send(stream_of(bio).descriptor(), from, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (put < 0 && is_try_again(errno)) BIO_set_retry_write(bio);
  return static_cast<int>(put);
}

long bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/// Like OpenSSL's socket BIO, but a peer that is gone is an error and not a SIGPIPE.
const BIO_METHOD* socket_method() {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "pam socket");
    if (made != nullptr) {
      BIO_meth_set_read(made, bio_read);
      BIO_meth_set_write(made, bio_write);
      BIO_meth_set_ctrl(made, bio_control);
    }
    return made;
  }();
  return method;
}

BIO* make_bio(socket_stream& of) {
  const BIO_METHOD* const method = socket_method();
  BIO* const bio = method != nullptr ? BIO_new(method) : nullptr;
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, &of);
  BIO_set_init(bio, 1);
  return bio;
}

/// What SSL_get_error(3) wants before the call it explains: an empty queue of errors. It nearly always is,
/// and looking costs less than clearing all its places.
void forget_errors() {
  if (ERR_peek_error() != 0) ERR_clear_error();
}

io_result plain_result(ssize_t outcome) {
  if (outcome > 0) return {status::done, static_cast<std::size_t>(outcome)};
  if (outcome == 0) return {status::ended};
  return {status::failed};
}

}  // namespace

void socket_stream::ssl_delete::operator()(SSL* ssl) const {
  SSL_free(ssl);
}

// OpenSSL's object, its read buffer and its handshake buffer are 45 KiB: a peer has to send its first record
// for them. A connection that is readable with fewer bytes than the low-water mark has seen the peer's end,
// or the kernel is short of memory: whoever waits on would never be woken, or without end.
bool socket_stream::has_hello() {
  std::array<char, record_header_bytes> header;
  const io_result seen = peek(header);
  if (seen.what == status::want_read) return false;
  int there = 0;
  if (seen.what != status::done || ::ioctl(socket_.get(), FIONREAD, &there) != 0 || there < low_water_)
    return true;
  std::size_t wanted = header.size();
  if (seen.bytes == header.size()) {
    const auto byte = [&header](std::size_t at) { return static_cast<unsigned char>(header[at]); };
    const std::size_t length = std::size_t{byte(3)} << 8 | byte(4);
    if (byte(0) != SSL3_RT_HANDSHAKE || byte(1) != SSL3_VERSION_MAJOR || length > SSL3_RT_MAX_PLAIN_LENGTH)
      return true;
    wanted += length;
  }
  if (static_cast<std::size_t>(there) >= wanted) return true;
  const int mark = static_cast<int>(wanted);
  if (::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, &mark, sizeof(mark)) != 0) return true;
  low_water_ = static_cast<std::uint16_t>(wanted);
  return false;
}

bool socket_stream::begin_tls(SSL_CTX* context) {
  if (low_water_ != 0) {
    const int any = 1;
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVLOWAT, &any,
                 sizeof(any));  // cannot fail: it did not before
    low_water_ = 0;
  }
  ssl_.reset(SSL_new(context));
  BIO* const bio = ssl_ ? make_bio(*this) : nullptr;
  if (bio == nullptr) return false;
  SSL_set_bio(ssl_.get(), bio, bio);
  SSL_set_accept_state(ssl_.get());
  return true;
}

io_result socket_stream::explain(int outcome) {
  switch (SSL_get_error(ssl_.get(), outcome)) {
    case SSL_ERROR_WANT_READ:
      return {status::want_read};
    case SSL_ERROR_WANT_WRITE:
      return {status::want_write};
    case SSL_ERROR_ZERO_RETURN:
      return {status::ended};
    default:
      // SSL_shutdown(3): must not be called after a fatal error.
      is_established_ = false;
      forget_errors();
      return {status::failed};
  }
}

// SSL_get_error(3) would ask for a look at the queue of errors before every call: an error that somebody else
// left would end the connection. What a live one waits for stands in the object as well; in a handshake, that
// of new keys included, OpenSSL empties the queue itself. What is neither is over, and whether well or badly
// makes no difference to who reads or writes.
io_result socket_stream::explain_transfer() {
  SSL* const ssl = ssl_.get();
  // Not after a fatal error: what it waited for before may still stand there.
  if (SSL_is_init_finished(ssl) == 1) {
    if (SSL_want_read(ssl) && BIO_should_read(SSL_get_rbio(ssl)) != 0) return {status::want_read};
    if (SSL_want_write(ssl) && BIO_should_write(SSL_get_wbio(ssl)) != 0) return {status::want_write};
  }
  return explain(0);
}

io_result socket_stream::handshake() {
  forget_errors();
  const int outcome = SSL_do_handshake(ssl_.get());
  if (outcome != 1) return explain(outcome);
  is_established_ = true;
  return {status::done};
}

io_result socket_stream::read(std::span<char> into) {
  if (ssl_) {
    std::size_t got = 0;
    if (SSL_read_ex(ssl_.get(), into.data(), into.size(), &got) != 1) return explain_transfer();
    return {status::done, got};
  }
  return read_raw(into);
}

io_result socket_stream::receive(std::span<char> into, int flags) {
  const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), flags);
  if (got < 0 && is_try_again(errno)) return {status::want_read};
  return plain_result(got);
}

io_result socket_stream::peek(std::span<char> into) {
  return receive(into, MSG_PEEK);
}

io_result socket_stream::read_raw(std::span<char> into) {
  const io_result got = receive(into, 0);
  is_full_ = got.bytes == into.size();
  return got;
}

io_result socket_stream::write(std::string_view from) {
  if (ssl_) {
    std::size_t put = 0;
    if (SSL_write_ex(ssl_.get(), from.data(), from.size(), &put) != 1) return explain_transfer();
    return {status::done, put};
  }
  const ssize_t put = ::send(socket_.get(), from.data(), from.size(), MSG_NOSIGNAL);
  if (put < 0 && is_try_again(errno)) return {status::want_write};
  return plain_result(put);
}

io_result socket_stream::discard() {
  std::array<char, 16 * 1024> dropped;
  return receive(dropped, 0);
}

bool socket_stream::has_pending() const {
  return is_full_ || (ssl_ && SSL_has_pending(ssl_.get()) == 1);
}

bool socket_stream::is_ready(std::uint32_t events) const {
  static_assert(EPOLLIN == POLLIN && EPOLLOUT == POLLOUT && EPOLLRDHUP == POLLRDHUP);
  pollfd watched{.fd = socket_.get(), .events = static_cast<short>(events), .revents = 0};
  return ::poll(&watched, 1, 0) == 1;
}

void socket_stream::end_sending() {
  if (ssl_ && is_established_) {
    forget_errors();
    // One try: a full socket buffer means that the peer does not read, and FIN follows anyway.
    static_cast<void>(SSL_shutdown(ssl_.get()));
    forget_errors();
  }
  is_established_ = false;
  if (socket_) ::shutdown(socket_.get(), SHUT_WR);
}

void socket_stream::close() {
  ssl_.reset();
  socket_.reset();
}

void socket_stream::abort() {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  if (socket_) ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  close();
}

}  // namespace pam::net::detail
