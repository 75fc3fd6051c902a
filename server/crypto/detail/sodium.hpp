#pragma once

#include <sodium.h>

#include <stdexcept>

namespace pam::crypto::detail {

/// libsodium wants sodium_init() before any other call (its "Usage" page); the first caller pays for
/// it, later ones a guard check. Throws std::runtime_error when the system has no entropy source.
inline void ensure_sodium() {
  static const int state = [] {
    const int outcome = sodium_init();
    if (outcome < 0) throw std::runtime_error("libsodium could not be initialised");
    return outcome;
  }();
  static_cast<void>(state);
}

}  // namespace pam::crypto::detail
