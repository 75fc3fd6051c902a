#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

namespace pam::runtime {

/// One round of the product's main job against a running server, printed as it goes: sign up, sign in,
/// refresh, read, sign out. Blocks; runs on a thread of its own, beside the server it talks to.
/// @param certificate  PEM file the server's certificate is verified with
/// @return true when every step answered as it should; otherwise `out` says which did not
bool demonstrate(std::uint16_t port, const std::string& prefix, const std::string& certificate,
                 std::ostream& out);

}  // namespace pam::runtime
