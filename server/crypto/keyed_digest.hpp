#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace pam::crypto {

/// BLAKE2b-256 under a key that is drawn with the object and never leaves it: names for things in memory
/// that nobody outside can make collide. Not for anything that is stored or sent.
class keyed_digest {
 public:
  using value = std::array<std::byte, 32>;

  keyed_digest();
  ~keyed_digest();
  keyed_digest(const keyed_digest&) = delete;
  keyed_digest& operator=(const keyed_digest&) = delete;

  [[nodiscard]] value of(std::string_view text) const;

 private:
  std::array<std::byte, 32> key_;
};

}  // namespace pam::crypto
