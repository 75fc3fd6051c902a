#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace pam::crypto {

using sha256_digest = std::array<std::byte, 32>;
using sha1_digest = std::array<std::byte, 20>;

[[nodiscard]] sha256_digest sha256(std::string_view text);
/// Only to ask collections that are keyed by it; it protects nothing.
/// Throws std::runtime_error when OpenSSL has no SHA-1.
[[nodiscard]] sha1_digest sha1(std::string_view text);

}  // namespace pam::crypto
