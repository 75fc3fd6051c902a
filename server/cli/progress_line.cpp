#include "server/cli/progress_line.hpp"

#include <algorithm>

namespace pam::cli {

namespace {

std::int64_t rate_of(const row_progress& at) {
  const std::int64_t milliseconds = std::max<std::int64_t>(at.taken.count(), 1);
  return (at.done - at.done_before) * 1000 / milliseconds;
}

/// Never above 99 before the end: the estimate may be too low.
std::int64_t percent_of(const row_progress& at) {
  if (at.estimated <= 0) return 0;
  return std::min<std::int64_t>(99, at.done * 100 / at.estimated);
}

std::string clock_of(std::int64_t seconds) {
  const auto two = [](std::int64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); };
  if (seconds < 3600) return std::to_string(seconds / 60) + ":" + two(seconds % 60);
  return std::to_string(seconds / 3600) + ":" + two(seconds / 60 % 60) + ":" + two(seconds % 60);
}

/// ", about 0:37 left" where there is something to reckon with.
std::string left_of(const row_progress& at) {
  const std::int64_t rate = rate_of(at);
  if (rate <= 0 || at.estimated <= at.done) return {};
  return ", about " + clock_of((at.estimated - at.done) / rate) + " left";
}

}  // namespace

std::string plain_line(const row_progress& at) {
  std::string line = std::string{at.name} + ": " + std::to_string(at.done);
  if (at.estimated > 0)
    line += " of about " + std::to_string(std::max(at.estimated, at.done)) + " rows, " +
            std::to_string(percent_of(at)) + " %";
  else
    line += " rows";
  return line + ", " + std::to_string(rate_of(at)) + " rows/s" + left_of(at);
}

std::string terminal_line(const row_progress& at, std::size_t width) {
  const std::string end =
      " " + std::to_string(percent_of(at)) + " %, " + std::to_string(rate_of(at)) + " rows/s" + left_of(at);
  std::string line = std::string{at.name} + " ";
  if (line.size() + end.size() + 12 <= width) {
    const std::size_t cells = std::min<std::size_t>(30, width - line.size() - end.size() - 2);
    const std::size_t full = cells * static_cast<std::size_t>(percent_of(at)) / 100;
    line += "[" + std::string(full, '#') + std::string(cells - full, '.') + "]";
  }
  line += end;
  if (line.size() > width) line.resize(width);
  return "\r" + line + "\x1b[K";
}

}  // namespace pam::cli
