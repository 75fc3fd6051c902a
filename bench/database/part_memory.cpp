#include <algorithm>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"

namespace pam::bench {

namespace {

void weigh(const plan& how, const route& way, const std::string& name, const hot_statement& statement,
           report& into) {
  const load what{how, way, statement, {}, false};
  const memory_sample got = run_counted(what, 64, how.statements);
  finding allocated;
  allocated.name = fmt::format("memory/{}/{}/allocations", way.name, name);
  allocated.ours = got.allocations;
  allocated.less_is_better = true;
  allocated.unit = "of operator new a statement";
  allocated.note = fmt::format("with libpq's {:.1f} of malloc", got.all_allocations);
  into.add(allocated);
  finding bytes;
  bytes.name = fmt::format("memory/{}/{}/bytes", way.name, name);
  bytes.ours = got.all_bytes;
  bytes.less_is_better = true;
  bytes.unit = "bytes of malloc a statement";
  bytes.note = "libpq's included";
  into.add(bytes);
  finding grown;
  grown.name = fmt::format("memory/{}/{}/growth", way.name, name);
  grown.ours = got.growth_bytes / static_cast<double>(how.statements);
  grown.target = 0.1;  // a page or two of somebody's cache is no growth
  grown.less_is_better = true;
  grown.unit = "bytes a statement";
  grown.note = fmt::format("{:.0f} bytes over {} statements", got.growth_bytes, how.statements);
  grown.samples = json_of({got.growth_bytes});
  into.add(grown);
}

}  // namespace

void measure_memory(const plan& how, report& into) {
  for (const subject& of : weighed_subjects(how)) {
    for (const route* way : available_routes(how)) weigh(how, *way, of.name, of.statement, into);
  }
}

std::vector<subject> weighed_subjects(const plan& how) {
  std::vector<subject> all;
  all.push_back({"read", bearer_statement()});
  all.push_back({"refresh", refresh_statement()});
  std::erase_if(all, [&](const subject& one) {
    return !how.weighed.empty() &&
           std::find(how.weighed.begin(), how.weighed.end(), one.name) == how.weighed.end();
  });
  return all;
}

}  // namespace pam::bench
