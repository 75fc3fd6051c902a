#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include <boost/uuid/uuid.hpp>

namespace pam::crypto {

/// Fills with bytes of the system's CSPRNG (libsodium). Thread-safe.
void fill_random(std::span<std::byte> out);

/// Uniform in [0, bound). bound > 0.
[[nodiscard]] std::uint32_t random_below(std::uint32_t bound);

/// UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, then random bits.
[[nodiscard]] boost::uuids::uuid uuid_v7(std::chrono::system_clock::time_point now);

/// UUIDv4 (RFC 9562 section 5.4).
[[nodiscard]] boost::uuids::uuid uuid_v4();

}  // namespace pam::crypto
