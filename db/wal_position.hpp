#pragma once

#include <cstdint>

namespace pam::db {

/// A place in the primary's write-ahead log: bytes since its beginning, on one timeline. Places on
/// different timelines cannot be compared: a promoted standby begins a new one.
struct wal_position {
  std::uint64_t lsn = 0;
  std::uint32_t timeline = 0;  ///< 0: unknown

  [[nodiscard]] bool is_known() const { return timeline != 0; }
};

}  // namespace pam::db
