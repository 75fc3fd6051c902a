#include <array>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"

namespace pam::bench {

void measure_memory(const plan& how, report& into) {
  const hot_statement read = bearer_statement();
  for (const route* way : available_routes(how)) {
    const load what{how, *way, read, {}, false};
    const memory_sample got = run_counted(what, 64, how.statements);
    finding allocated;
    allocated.name = fmt::format("memory/{}/allocations", way->name);
    allocated.ours = got.allocations;
    allocated.less_is_better = true;
    allocated.unit = "of operator new a statement";
    into.add(allocated);
    finding grown;
    grown.name = fmt::format("memory/{}/growth", way->name);
    grown.ours = got.growth_bytes / static_cast<double>(how.statements);
    grown.target = 0.1;  // a page or two of somebody's cache is no growth
    grown.less_is_better = true;
    grown.unit = "bytes a statement";
    grown.note = fmt::format("{:.0f} bytes over {} statements", got.growth_bytes, how.statements);
    grown.samples = json_of({got.growth_bytes});
    into.add(grown);
  }
}

}  // namespace pam::bench
