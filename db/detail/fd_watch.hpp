#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>

namespace pam::db::detail {

/// Lets Asio wait on a descriptor that libpq owns. Destroying it releases the descriptor unclosed, and
/// pending waits end with `operation_aborted`; it must die, or `release()`, before PQfinish closes the
/// number, which the kernel gives to the next connection.
class fd_watch {
 public:
  using descriptor = boost::asio::posix::basic_stream_descriptor<boost::asio::io_context::executor_type>;

  explicit fd_watch(boost::asio::io_context& context) : descriptor_(context.get_executor()) {}
  ~fd_watch() { release(); }
  fd_watch(const fd_watch&) = delete;
  fd_watch& operator=(const fd_watch&) = delete;

  /// Watches `fd` from now on; false when the reactor refuses it.
  [[nodiscard]] bool assign(int fd) {
    release();
    boost::system::error_code failure;
    descriptor_.assign(fd, failure);
    return !failure;
  }
  void release() {
    if (descriptor_.is_open()) descriptor_.release();
  }
  [[nodiscard]] descriptor& get() { return descriptor_; }

 private:
  descriptor descriptor_;
};

}  // namespace pam::db::detail
