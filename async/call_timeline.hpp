#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string_view>
#include <vector>

namespace pam::async {

/// One piece of a request's work: a statement or a password hash. Every view is of static storage.
struct call_step {
  using time_point = std::chrono::steady_clock::time_point;
  enum class kind : std::uint8_t { statement, hash };

  kind what = kind::statement;
  std::string_view name;           ///< a statement's summary, or what was asked of the hash pool
  std::string_view id;             ///< a statement's prepared name; "" for a hash
  std::string_view failure;        ///< stable name of the error's code; "" when it succeeded
  std::array<char, 5> sqlstate{};  ///< of a statement the server rejected, else zeros
  time_point asked;                ///< from here on it waited
  time_point began;                ///< from here on it was worked on; `ended` when it never was
  time_point ended;

  void set_sqlstate(std::string_view text) {
    if (text.size() == sqlstate.size()) std::copy(text.begin(), text.end(), sqlstate.begin());
  }
};

/// The steps of one request whose trace is exported, in the order in which they ended. Bounded: what comes
/// after `limit` steps is only counted.
/// Shard: written on the shard of the request it belongs to.
class call_timeline {
 public:
  static constexpr std::size_t limit = 64;

  /// Drops the step for want of memory like one beyond the limit.
  void add(const call_step& step) noexcept {
    try {
      if (steps_.size() < limit) return steps_.push_back(step);
    } catch (const std::bad_alloc&) {
      ++dropped_;
      return;
    }
    ++dropped_;
  }

  [[nodiscard]] std::span<const call_step> steps() const { return steps_; }
  [[nodiscard]] std::uint32_t dropped() const { return dropped_; }

 private:
  std::vector<call_step> steps_;
  std::uint32_t dropped_ = 0;
};

}  // namespace pam::async
