#pragma once

#include <chrono>
#include <cstddef>

namespace pam::api {

/// How many requests of one class may be at work so that nobody waits much longer than a client can bear
/// (docs/adr/0056).
///
/// While answers come in time the configured bound holds. When most of them have been late for half a
/// second, as at a rate above the capacity and not after one slow moment, the bound becomes as many as keep
/// the database busy, or fewer where the measured rate of answers cannot carry those within the bearable wait
/// (Little's law), and follows that rate until a second without refusals has passed. Pure: the time is passed
/// in.
class queue_bound {
 public:
  using clock = std::chrono::steady_clock;

  /// The least bound: enough to notice that it has become faster.
  static constexpr std::size_t least = 16;

  /// @param most      the configured bound
  /// @param bearable  wait of an answer; 0: the configured bound holds always
  /// @param busy      as many as the database can have at work at once, and as many behind them: a queue that
  ///                  stands carries no more
  queue_bound(std::size_t most, std::chrono::milliseconds bearable, std::size_t busy) noexcept
      : most_(most), bearable_(bearable), busy_(busy), limit_(most) {}

  /// Whether one more may enter beside `at_work`. A refusal is remembered.
  [[nodiscard]] bool admits(std::size_t at_work) noexcept {
    if (at_work < limit_) return true;
    has_refused_ = true;
    return false;
  }

  /// One that entered at `entered` has been answered.
  /// @param was_served  false: with a 503, which tells nothing of what can be carried, and of the wait only
  ///                    when it was long
  void left(clock::time_point entered, clock::time_point now, bool was_served) noexcept;

  [[nodiscard]] std::size_t limit() const noexcept { return limit_; }

 private:
  void judge(clock::duration elapsed) noexcept;
  [[nodiscard]] std::size_t bound_at(double rate) const noexcept;

  std::size_t most_;
  std::chrono::milliseconds bearable_;
  std::size_t busy_;
  std::size_t limit_;
  clock::time_point began_{};  ///< of the window
  std::size_t answered_ = 0;   ///< in the window
  std::size_t served_ = 0;     ///< of these, with anything but a 503
  std::size_t late_ = 0;       ///< of these, after more than the bearable wait
  clock::duration standing_{0};
  clock::duration calm_{0};
  bool has_refused_ = false;  ///< in the window
};

}  // namespace pam::api
