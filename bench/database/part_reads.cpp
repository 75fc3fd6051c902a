#include <algorithm>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"
#include "bench/database/pgbench.hpp"

namespace pam::bench {

namespace {

void measure_reads_of(const plan& how, const std::string& name, const hot_statement& read, report& into) {
  plan shorter = how;
  shorter.seconds = 1;
  for (const route* way : available_routes(how)) {
    for (const int depth : {1, 8, 64}) {
      const load what{shorter, *way, read, std::chrono::seconds{1}, false};
      std::vector<double> ours, reference, own_cpu;
      for (int repeat = 0; repeat < std::min(how.repeats, 3); ++repeat) {
        const our_sample got = closed_loop(what, static_cast<std::size_t>(depth));
        ours.push_back(got.rate);
        own_cpu.push_back(got.own_cpu_us);
        reference.push_back(run_pgbench(shorter, *way, read, depth, false).rate);
      }
      finding one;
      one.name = fmt::format("{}/{}/{}", name, way->name, depth);
      one.ours = median(ours);
      one.reference = median(reference);
      one.unit = "reads/s";
      one.note = fmt::format("{:.1f} us of the client each", median(own_cpu));
      one.samples = fmt::format(R"({{"ours":{},"reference":{}}})", json_of(ours), json_of(reference));
      into.add(one);
    }
  }
}

}  // namespace

void measure_reads(const plan& how, report& into) {
  measure_reads_of(how, "read", bearer_statement(), into);
}

void measure_keys(const plan& how, report& into) {
  plan of_pgbench = how;
  of_pgbench.sessions = make_pgbench_tables(how);
  measure_reads_of(of_pgbench, "pgbench-S", pgbench_statement(), into);
}

}  // namespace pam::bench
