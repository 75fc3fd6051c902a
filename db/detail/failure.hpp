#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "db/error.hpp"

namespace pam::db::detail {

inline error failure_of(errc code, outcome what, std::string_view detail) {
  error failure;
  failure.code = code;
  failure.outcome = what;
  failure.detail = detail;
  return failure;
}

/// The server is going away or is not the primary any more; the statement itself is not at fault.
inline bool says_moved(const error& failure) {
  // 55000: a standby has no position to write at (pg_current_wal_flush_lsn); nothing else of ours raises it.
  constexpr std::array<std::string_view, 5> states{"25006", "55000", "57P01", "57P02", "57P03"};
  return std::find(states.begin(), states.end(), failure.sqlstate) != states.end();
}

}  // namespace pam::db::detail
