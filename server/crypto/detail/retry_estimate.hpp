#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "server/crypto/turn.hpp"

namespace pam::crypto::detail {

/// When those who were refused a hash shall come back: about two and a half knock for each hash there is, so
/// that no thread waits for them and refusals cost little, however many they are.
///
/// Every refusal is remembered until its client is expected again; what is remembered is who is outside. The
/// last of n is told n x (time of a hash) / 3.75: a client comes after that and at most as long again, on
/// average after 1.5 times it, hence 2.5 to a hash. That is a place in a line which nobody has to keep.
/// Clients who add nothing to what they are told make it 2.5 refusals to a hash.
///
/// Pure, is told the time. Not thread-safe. docs/adr/0074.
class retry_estimate {
 public:
  using clock = std::chrono::steady_clock;

  static constexpr std::chrono::seconds least{1};
  /// Nobody is sent away for longer: what is remembered may be wrong, and people wait behind it.
  static constexpr std::chrono::seconds most{30};
  /// After as long without a refusal everybody who came was let in: nobody is outside any more.
  static constexpr std::chrono::seconds quiet{3};

  /// The next value of the average time of a hash which `refused` is to be told, after one that took `took`.
  /// Follows shorter ones at once and longer ones slowly: a crowd takes the threads' time while it comes in,
  /// and most refusals are of that moment. Too short a time costs refusals, too long a one idle threads.
  /// @param average  0: there was none yet
  [[nodiscard]] static std::uint64_t averaged(std::uint64_t average, std::uint64_t took) noexcept;

  /// Notes a refusal. Who has the first turn stands before all others: only his like are before him.
  /// @param per_hash  in which all threads together do one hash; 0: not known, and `least` is the answer
  /// @return whole seconds from `least` to `most`, the same for all who are refused now: a client adds a
  ///         random part of its own
  std::chrono::seconds refused(turn whose, clock::time_point now,
                               std::chrono::duration<double> per_hash) noexcept;

 private:
  /// Half a second: 1.5 times whole seconds are whole slots.
  using slot_time = std::chrono::duration<std::int64_t, std::ratio<1, 2>>;
  static constexpr std::int64_t slots_per_second = 3;  ///< of what was told, to the expected return
  static constexpr std::int64_t slots = most.count() * slots_per_second + 1;
  using counts = std::array<std::uint64_t, 2>;  ///< by turn

  void advance(clock::time_point now) noexcept;
  [[nodiscard]] counts& expected_in(std::int64_t slot) noexcept {
    return expected_[static_cast<std::size_t>(slot % slots)];
  }

  std::array<counts, slots> expected_{};  ///< a ring: who comes back in a slot
  counts outside_{};                      ///< their sum
  std::int64_t slot_ = 0;                 ///< now, since the clock's epoch
  clock::time_point last_{};              ///< refusal
};

}  // namespace pam::crypto::detail
