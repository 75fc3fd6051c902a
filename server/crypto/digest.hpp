#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pam::crypto {

using sha256_digest = std::array<std::byte, 32>;

[[nodiscard]] sha256_digest sha256(std::string_view text);

/// A keyed hash (SipHash-2-4 of 128 bits, libsodium's siphashx24) under a random key of its own: nobody
/// outside can choose inputs that collide or that crowd one bucket of a table.
class keyed_hasher {
 public:
  struct value {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend bool operator==(const value&, const value&) = default;
  };

  keyed_hasher();
  [[nodiscard]] value of(std::string_view text) const;

 private:
  std::array<unsigned char, 16> key_{};
};

}  // namespace pam::crypto
