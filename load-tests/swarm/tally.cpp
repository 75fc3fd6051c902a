#include "load-tests/swarm/tally.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include <fmt/format.h>

namespace pam::load {
namespace {

std::string row_json(std::string_view name, const histogram& latency, std::uint64_t failed) {
  std::string buckets;
  for (std::size_t i = 0; i < histogram::buckets; ++i) {
    const std::uint64_t count = latency.count_in(i);
    if (count == 0) continue;
    buckets += fmt::format("{}[{},{}]", buckets.empty() ? "" : ",", histogram::greatest_in(i), count);
  }
  return fmt::format(R"("{}":{{"count":{},"failed":{},"max_us":{},"buckets":[{}]}})", name, latency.count(),
                     failed, latency.max().count(), buckets);
}

std::string counts_json(const phase_tally& of) {
  std::string text;
  for (const auto& [name, count] : of.counts) {
    text += fmt::format(R"({}"{}":{})", text.empty() ? "" : ",", name, count);
  }
  return text;
}

}  // namespace

std::string_view to_string(operation of) {
  constexpr std::array<std::string_view, operations> names{"connect",  "read",    "list",   "refresh",
                                                           "sign_out", "refused", "sign_in"};
  return names[static_cast<std::size_t>(of)];
}

std::string_view to_string(phase of) {
  constexpr std::array<std::string_view, phases> names{"ramp",    "steady", "storm", "herd",
                                                       "rolling", "reload", "login", "down"};
  return names[static_cast<std::size_t>(of)];
}

void phase_tally::begin(std::chrono::nanoseconds after, std::chrono::milliseconds tolerance) {
  const auto late_by = std::chrono::duration_cast<std::chrono::microseconds>(after);
  ++begun;
  if (late_by > tolerance) ++late;
  lateness += late_by;
  worst_lateness = std::max(worst_lateness, late_by);
}

void phase_tally::answer(operation to, std::chrono::nanoseconds after, bool takes_part) {
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(after);
  rows[static_cast<std::size_t>(to)].latency.add(took);
  if (is_common(to) && !takes_part) others.add(took);
}

void tally::fail(phase during, operation of, std::string_view reason) {
  ++by_phase[static_cast<std::size_t>(during)].rows[static_cast<std::size_t>(of)].failed;
  ++failed;
  last_failure = fmt::format("{}: {}", to_string(of), reason);
  ++failures[last_failure];
}

std::string tally::to_json() const {
  std::string text = R"({"final":true,"phases":{)";
  for (std::size_t p = 0; p < phases; ++p) {
    const phase_tally& of = by_phase[p];
    text += fmt::format(
        R"({}"{}":{{"wall_us":{},"cpu_us":{},"begun":{},"late":{},"lateness_us":{},"worst_us":{},"ops":{{)",
        p == 0 ? "" : ",", to_string(static_cast<phase>(p)), of.wall.count(), of.cpu.count(), of.begun,
        of.late, of.lateness.count(), of.worst_lateness.count());
    for (std::size_t o = 0; o < operations; ++o) {
      text += (o == 0 ? "" : ",") +
              row_json(to_string(static_cast<operation>(o)), of.rows[o].latency, of.rows[o].failed);
    }
    text += "," + row_json("others", of.others, 0) + "," + row_json("known", of.known, 0) + "," +
            row_json("strangers", of.strangers, 0) + "," + row_json("refusals", of.refusals, 0);
    text += fmt::format(R"(}},"counts":{{{}}}}})", counts_json(of));
  }
  text += R"(},"failures":{)";
  const char* separator = "";
  for (const auto& [reason, count] : failures) {
    text += fmt::format(R"({}"{}":{})", separator, reason, count);
    separator = ",";
  }
  return text + fmt::format(R"(}},"lost_idle":{},"answered":{},"failed":{},"doubtful":{}}})", lost_idle,
                            answered, failed, doubtful);
}

std::chrono::microseconds cpu_time() {
  struct rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& time) {
    return std::chrono::seconds{time.tv_sec} + std::chrono::microseconds{time.tv_usec};
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

std::uint64_t resident_bytes() {
  std::ifstream statm{"/proc/self/statm"};
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace pam::load
