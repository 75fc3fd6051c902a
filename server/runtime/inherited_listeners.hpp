#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <boost/system/result.hpp>

#include "server/net/unique_fd.hpp"
#include "server/runtime/config.hpp"
#include "server/runtime/start_error.hpp"

namespace pam::runtime {

/// Listening sockets that somebody else bound: the service manager, or the process this one replaces.
struct inherited_listeners {
  std::vector<net::unique_fd> open;      ///< of the public port, one or more
  std::vector<net::unique_fd> internal;  ///< of the internal port, at most one is used

  [[nodiscard]] bool empty() const { return open.empty() && internal.empty(); }
};

/// What systemd passed to this process (sd_listen_fds(3)): descriptors 3 and up, when LISTEN_PID is this
/// process. The one named "internal" (FileDescriptorName=) is the internal port's, the others are the public
/// port's. Call once; the descriptors are closed on exec from then on.
/// @param variables  LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES of the environment
/// @return an empty set without them; a sentence when they contradict themselves
[[nodiscard]] boost::system::result<inherited_listeners, start_error> systemd_listeners(
    const environment& variables);

/// Adds what `more` has and `to` has not, the same socket under another descriptor included.
void merge_listeners(inherited_listeners& to, inherited_listeners more);

/// Closes those that do not listen on this address and port (0: any): the configuration changed.
/// @return how many were closed
std::size_t keep_listeners_at(std::vector<net::unique_fd>& listeners, const std::string& address,
                              std::uint16_t port);

}  // namespace pam::runtime
