#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "server/auth/types.hpp"
#include "server/crypto/key_ring.hpp"

namespace pam::auth {

/// A device that once signed in to an account (OWASP, "Slow Down Online Guessing Attacks with Device
/// Cookies"; docs/adr/0034). It proves nothing about its holder: it only earns its own budget of attempts,
/// so that strangers who guess cannot lock the owner out.
struct device {
  uuid account{};
  std::array<std::byte, 16> nonce{};
};

/// Text of a device: "pamd1_" and 96 hexadecimal digits of account, nonce and a tag under the current
/// refresh key. It lives as long as that key verifies.
[[nodiscard]] std::string new_device_text(const crypto::key_ring& keys, const uuid& account);

/// The device a client presents; nullopt unless a key of ours made its tag.
[[nodiscard]] std::optional<device> recognise(const crypto::key_ring& keys, std::string_view text);

}  // namespace pam::auth
