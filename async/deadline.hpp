#pragma once

#include <chrono>

namespace pam::async {

/// Absolute point in time by which an operation must have answered. Passed down by value, never renewed.
using deadline = std::chrono::steady_clock::time_point;

/// Deadline `budget` from now.
inline deadline within(std::chrono::steady_clock::duration budget) {
  return std::chrono::steady_clock::now() + budget;
}

/// True once `when` lies in the past or is now.
inline bool has_passed(deadline when) {
  return std::chrono::steady_clock::now() >= when;
}

}  // namespace pam::async
