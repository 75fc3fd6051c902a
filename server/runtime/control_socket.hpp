#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/result.hpp>

#include "server/net/unique_fd.hpp"
#include "server/runtime/start_error.hpp"

namespace pam::runtime {

/// The socket at which a successor of this process, run by the same user, asks for its listening sockets.
/// A file of mode 0600 that appears complete, replaces the one of the predecessor, and is removed by the
/// process it belongs to.
/// Thread: everything on the one that runs the io_context.
class control_socket : public std::enable_shared_from_this<control_socket> {
 public:
  /// What the owner tells and learns.
  struct owner {
    std::function<std::vector<int>()> open_listeners;      ///< descriptors that stay the owner's
    std::function<std::vector<int>()> internal_listeners;  ///< likewise
    std::function<void(std::string_view)> refused;         ///< somebody came and got nothing: why
    std::function<void(pid_t)> handed_over;                ///< this process serves now; drain
  };

  /// @return a sentence with the cure when the socket cannot be made
  static boost::system::result<std::shared_ptr<control_socket>, start_error> open(
      boost::asio::io_context& context, const std::string& path);
  ~control_socket();
  control_socket(const control_socket&) = delete;
  control_socket& operator=(const control_socket&) = delete;

  /// Serves successors, one at a time, until one of them took over or `close()`.
  void start(owner of);
  /// Ends what runs and removes the file, unless it is a successor's by now.
  void close();

 private:
  using descriptor = boost::asio::posix::stream_descriptor;

  control_socket(boost::asio::io_context& context, std::string path, net::unique_fd listening);

  boost::asio::awaitable<void> serve();
  boost::asio::awaitable<void> hand_over(std::shared_ptr<descriptor> peer);
  boost::asio::awaitable<std::string> receive(std::shared_ptr<descriptor> peer,
                                              std::chrono::seconds patience);
  [[nodiscard]] bool offer(int peer) const;
  void remove_file();

  boost::asio::io_context& context_;
  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  descriptor listening_;
  boost::asio::steady_timer patience_;
  std::weak_ptr<descriptor> current_;
  owner owner_;
  bool is_closing_ = false;
  bool is_removed_ = false;
};

}  // namespace pam::runtime
