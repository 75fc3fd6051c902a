#pragma once

#include <chrono>

#include "async/call_costs.hpp"

namespace pam::async {

/// Absolute point in time by which an operation must have answered, and where its costs are counted.
/// Passed down by value, never renewed. The costs outlive every call that was given the deadline; work
/// that outlives its request takes `unmetered()`.
class deadline : public std::chrono::steady_clock::time_point {
 public:
  using time_point = std::chrono::steady_clock::time_point;

  constexpr deadline() = default;
  constexpr deadline(time_point when) : time_point(when) {}  // NOLINT(google-explicit-constructor): it is one
  constexpr deadline(time_point when, call_costs* costs) : time_point(when), costs_(costs) {}

  /// Null when nobody counts.
  [[nodiscard]] constexpr call_costs* costs() const { return costs_; }
  [[nodiscard]] constexpr time_point unmetered() const { return *this; }

 private:
  call_costs* costs_ = nullptr;
};

/// Deadline `budget` from now.
inline deadline within(std::chrono::steady_clock::duration budget) {
  return std::chrono::steady_clock::now() + budget;
}

/// True once `when` lies in the past or is now.
inline bool has_passed(deadline when) {
  return std::chrono::steady_clock::now() >= when;
}

}  // namespace pam::async
