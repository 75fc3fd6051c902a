#include <algorithm>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"
#include "bench/database/pgbench.hpp"

namespace pam::bench {

namespace {

constexpr double p99_limit_ms = 20;

struct samples {
  std::vector<double> ours, reference, p50, p99, batch, own_cpu, postgres_cpu, pgbench_cpu;
  std::string raw;
};

void sample(const plan& how, const route& way, const hot_statement& refresh, samples& into) {
  const load what{how, way, refresh, std::chrono::seconds{how.seconds}, how.has_checkpoint};
  const our_sample ours = closed_loop(what, how.callers);
  const std::vector<reference_sample> reference = run_pgbench_sizes(how, way, refresh, how.has_checkpoint);
  into.ours.push_back(ours.rate);
  into.reference.push_back(best_rate(reference));
  into.p50.push_back(ours.percentile_ms(0.50));
  into.p99.push_back(ours.percentile_ms(0.99));
  into.batch.push_back(ours.batch);
  into.own_cpu.push_back(ours.own_cpu_us);
  into.postgres_cpu.push_back(ours.postgres_cpu_us);
  std::string clients;
  for (const reference_sample& one : reference) {
    clients += fmt::format(R"({}{{"clients":{},"rate":{:.1f},"pgbench_cpu_us":{:.2f}}})",
                           clients.empty() ? "" : ",", one.clients, one.rate, one.own_cpu_us);
    if (one.rate == into.reference.back()) into.pgbench_cpu.push_back(one.own_cpu_us);
  }
  into.raw +=
      fmt::format(R"({}{{"ours":{},"pgbench":[{}]}})", into.raw.empty() ? "" : ",", ours.json(), clients);
}

}  // namespace

std::vector<const route*> available_routes(const plan& how) {
  std::vector<const route*> all;
  for (const route& way : routes) {
    const bool is_wanted =
        how.routes.empty() || std::find(how.routes.begin(), how.routes.end(), way.name) != how.routes.end();
    if (is_wanted && how.*way.port != 0) all.push_back(&way);
  }
  return all;
}

void measure_refresh(const plan& how, report& into) {
  const hot_statement refresh = refresh_statement();
  const std::vector<const route*> ways = available_routes(how);
  std::vector<samples> taken(ways.size());
  for (int repeat = 0; repeat < how.repeats; ++repeat) {
    for (std::size_t i = 0; i < ways.size(); ++i) sample(how, *ways[i], refresh, taken[i]);
  }
  for (std::size_t i = 0; i < ways.size(); ++i) {
    const samples& of = taken[i];
    const double p99 = median(of.p99);
    finding rate;
    rate.name = fmt::format("P1/{}", ways[i]->name);
    rate.ours = median(of.ours);
    rate.reference = median(of.reference);
    rate.target = ways[i]->target;
    rate.unit = "refreshes/s";
    rate.note = fmt::format("p50 {:.1f} ms, p99 {:.1f} ms{}, {:.0f} a batch, PostgreSQL {:.0f} us each",
                            median(of.p50), p99, p99 > p99_limit_ms ? " (over 20)" : "", median(of.batch),
                            median(of.postgres_cpu));
    rate.samples = "[" + of.raw + "]";
    into.add(rate);
    finding cpu;
    cpu.name = fmt::format("cpu/{}", ways[i]->name);
    cpu.ours = median(of.own_cpu);
    cpu.reference = median(of.pgbench_cpu);
    cpu.less_is_better = true;
    cpu.unit = "us of the client a statement";
    cpu.note = "reference: pgbench";
    cpu.samples = json_of(of.own_cpu);
    into.add(cpu);
  }
}

}  // namespace pam::bench
