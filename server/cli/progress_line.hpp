#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace pam::cli {

/// How far something is that goes through rows.
struct row_progress {
  std::string_view name;
  std::int64_t done = 0;              ///< rows looked at, over all runs
  std::int64_t estimated = 0;         ///< rows there are, by the planner's statistics; 0: unknown
  std::int64_t done_before = 0;       ///< of `done`, what earlier runs did: not part of the rate
  std::chrono::milliseconds taken{};  ///< of this run
};

/// "0021_fill: 120000 of about 1000000 rows, 12 %, 24000 rows/s, about 0:37 left": for logs and pipes.
[[nodiscard]] std::string plain_line(const row_progress& at);
/// The same with a bar, at most `width` columns, for a terminal: rewrites its own line (starts with \r).
[[nodiscard]] std::string terminal_line(const row_progress& at, std::size_t width = 78);

}  // namespace pam::cli
