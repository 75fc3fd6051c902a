#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/auth/types.hpp"

namespace pam::auth::detail {

/// The smallest UUID that a version 7 one made at `when` can have: prunes the partitions before it.
inline uuid uuid_floor(timestamp when) {
  const auto since_epoch = std::chrono::floor<std::chrono::milliseconds>(when).time_since_epoch().count();
  auto milliseconds = static_cast<std::uint64_t>(since_epoch < 0 ? 0 : since_epoch);
  uuid floor{};
  for (std::size_t i = 6; i-- > 0; milliseconds >>= 8)
    floor.data[i] = static_cast<std::uint8_t>(milliseconds);
  return floor;
}

}  // namespace pam::auth::detail
