#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "server/net/unique_fd.hpp"

namespace pam::runtime {

/// One message between two processes: a short text and the descriptors that came with it.
struct passed_message {
  std::string text;
  std::vector<net::unique_fd> descriptors;
};

/// Descriptors in one message; the kernel's limit is 253 (unix(7), SCM_MAX_FD).
inline constexpr std::size_t most_passed_descriptors = 200;

/// Sends text (at most 128 bytes) and copies of the descriptors over a SOCK_SEQPACKET socket.
[[nodiscard]] bool pass(int socket, std::string_view text, std::span<const int> descriptors = {});
/// Receives one message; nullopt when the peer is gone, nothing is there (non-blocking socket, or its time is
/// over), or the message is larger than one of ours. Received descriptors are closed on exec.
[[nodiscard]] std::optional<passed_message> receive_passed(int socket);

/// The peer's user is this process's own, or root (SO_PEERCRED: the credentials at connect or listen).
[[nodiscard]] bool is_peer_trusted(int socket);

}  // namespace pam::runtime
