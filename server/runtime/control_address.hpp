#pragma once

#include <sys/un.h>

#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace pam::runtime {

// What is said over the control socket, one SOCK_SEQPACKET message each:
//   successor: take over 1
//   server:    public (with descriptors), any number of times; internal (with one); all
//   successor: ready
//   server:    draining
// A connection that ends before "ready" changes nothing.
inline constexpr std::string_view control_take_over = "take over 1";
inline constexpr std::string_view control_public = "public";
inline constexpr std::string_view control_internal = "internal";
inline constexpr std::string_view control_all = "all";
inline constexpr std::string_view control_ready = "ready";
inline constexpr std::string_view control_draining = "draining";

/// nullopt when the path does not fit (107 bytes, unix(7)).
inline std::optional<sockaddr_un> control_address(const std::string& path) {
  sockaddr_un address{};
  if (path.empty() || path.size() >= sizeof(address.sun_path)) return std::nullopt;
  address.sun_family = AF_UNIX;
  std::memcpy(&address.sun_path[0], path.data(), path.size());
  return address;
}

}  // namespace pam::runtime
