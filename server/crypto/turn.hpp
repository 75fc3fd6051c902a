#pragma once

#include <cstdint>

namespace pam::crypto {

/// Whose hash is computed before whose: `first` before every `usual` one, first come first served among
/// equals.
enum class turn : std::uint8_t { usual, first };

}  // namespace pam::crypto
