#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "load-tests/swarm/histogram.hpp"

namespace pam::load {

enum class operation : std::uint8_t { connect, read, list, refresh, sign_out, refused, sign_in };
inline constexpr std::size_t operations = 7;
[[nodiscard]] std::string_view to_string(operation of);
/// What signed-in users do all day; asked again, it gets the same answer.
[[nodiscard]] constexpr bool is_common(operation of) {
  return of == operation::read || of == operation::list || of == operation::refresh;
}

enum class phase : std::uint8_t { ramp, steady, storm, herd, rolling, reload, login, down };
inline constexpr std::size_t phases = 8;
[[nodiscard]] std::string_view to_string(phase of);

/// What one phase brought.
struct phase_tally {
  struct row {
    histogram latency;  ///< of right answers, from the intended start
    std::uint64_t failed = 0;
  };
  std::array<row, operations> rows;
  // What a phase's trial asks beside: each has a line of its own, and its values are in `rows` as well.
  histogram others;     ///< reads, lists and refreshes of users who take no part in it
  histogram known;      ///< until signed in, of known devices
  histogram strangers;  ///< until signed in, of everybody else
  histogram refusals;   ///< until told to try again later
  /// By name; names that end in `_us` are maxima, the others sums.
  std::map<std::string_view, std::uint64_t> counts;
  std::chrono::microseconds wall{0};
  std::chrono::microseconds cpu{0};       ///< of this process
  std::uint64_t begun = 0;                ///< actions whose user was free when they were due
  std::uint64_t late = 0;                 ///< of these, begun more than the tolerance after that
  std::chrono::microseconds lateness{0};  ///< sum over all of them
  std::chrono::microseconds worst_lateness{0};

  /// An action begins so long after it was due.
  void begin(std::chrono::nanoseconds after, std::chrono::milliseconds tolerance);
  /// A right answer came.
  /// @param after  the intended start of its action, whenever that began
  void answer(operation to, std::chrono::nanoseconds after, bool takes_part);
};

/// Everything a process counts; written as one JSON line at the end.
class tally {
 public:
  std::array<phase_tally, phases> by_phase;
  std::map<std::string, std::uint64_t, std::less<>> failures;  ///< by reason
  std::uint64_t lost_idle = 0;  ///< connections the server ended between requests
  std::uint64_t answered = 0;   ///< right answers, all phases
  std::uint64_t failed = 0;
  std::uint64_t doubtful = 0;  ///< sessions that may be there without their user knowing: lost answers
  std::string last_failure;

  void fail(phase during, operation of, std::string_view reason);
  [[nodiscard]] std::string to_json() const;
};

/// User and system time of this process.
[[nodiscard]] std::chrono::microseconds cpu_time();
[[nodiscard]] std::uint64_t resident_bytes();

}  // namespace pam::load
