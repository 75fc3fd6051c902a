#pragma once

#include <optional>
#include <string>

#include <boost/system/result.hpp>

#include "server/net/unique_fd.hpp"
#include "server/runtime/inherited_listeners.hpp"
#include "server/runtime/start_error.hpp"

namespace pam::runtime {

/// The server this process is about to replace, seen through its control socket. It serves on until
/// `relieve()`; when this object goes before that, everything stays as it was.
/// Blocking, with limits of seconds: for start-up.
class predecessor {
 public:
  /// Asks the server at this control socket for its listening sockets.
  /// @return nullopt when nobody is there; a sentence when somebody is who does not hand over
  static boost::system::result<std::optional<predecessor>, start_error> find(const std::string& path);

  /// What it handed over; once.
  [[nodiscard]] inherited_listeners take_listeners() { return std::move(listeners_); }

  /// Tells it that this process serves now: it stops accepting and drains.
  /// @return false when it does not answer any more; its listeners are ours all the same
  [[nodiscard]] bool relieve();

 private:
  explicit predecessor(net::unique_fd socket) : socket_(std::move(socket)) {}

  net::unique_fd socket_;
  inherited_listeners listeners_;
};

}  // namespace pam::runtime
