// What a process tells while it runs.
#include <ostream>

#include <fmt/format.h>

#include "load-tests/swarm/swarm.hpp"

namespace pam::load {

void swarm::report_second() {
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  const phase_tally& of = now_tally();
  histogram all;
  for (std::size_t i = 1; i < operations; ++i) all.merge(of.rows[i].latency);
  out_
      << fmt::format(
             R"({{"t":{:.3f},"phase":"{}","connected":{},"handshaking":{},"started":{},"answered":{},"failed":{},)"
             R"("begun":{},"late":{},"p50_us":{},"p99_us":{},"away":{},"outside":{},"cpu_us":{},"rss":{},)"
             R"("last_failure":"{}"}})",
             std::chrono::duration<double>(wall).count(), to_string(phase_), connected_, handshaking_,
             started_, tally_.answered, tally_.failed, of.begun, of.late, all.quantile(0.5).count(),
             all.quantile(0.99).count(), away_, outside_, cpu_time().count(), resident_bytes(),
             tally_.last_failure)
      << "\n"
      << std::flush;
}

}  // namespace pam::load
