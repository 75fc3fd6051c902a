#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>

#include <fmt/format.h>

#include "bench/database/load.hpp"
#include "bench/database/parts.hpp"
#include "bench/database/pgbench.hpp"
#include "bench/database/shell.hpp"

namespace pam::bench {

namespace {

constexpr double steady_rate = 700;
constexpr double ten_percent_of_a_core = 0.10;

/// Milliseconds of one durable 8 KB write on the disk of the data folder, by pg_test_fsync's fdatasync.
double flush_time_ms(const plan& how) {
  const std::string file = how.socket_dir + "/../flush.tmp";
  const std::string command =
      fmt::format("'{}/pg_test_fsync' -s 1 -f '{}' 2>&1; rm -f '{}'", how.pg_bin, file, file);
  std::istringstream lines{output_of(command)};
  double rate = 0;
  // The first is of one write.
  for (std::string line; rate == 0 && std::getline(lines, line);) {
    std::sscanf(line.c_str(), " fdatasync %lf ops/sec", &rate);
  }
  if (rate == 0) throw std::runtime_error("pg_test_fsync did not say how long fdatasync takes");
  return 1000 / rate;
}

finding less(std::string name, double ours, double reference, double target, std::string unit) {
  finding one;
  one.name = std::move(name);
  one.ours = ours;
  one.reference = reference;
  one.target = target;
  one.less_is_better = true;
  one.unit = std::move(unit);
  return one;
}

}  // namespace

void measure_steady(const plan& how, report& into) {
  const hot_statement refresh = refresh_statement();
  const double flush_before = flush_time_ms(how);
  struct steady_sample {
    const route* way;
    our_sample got;
  };
  std::vector<steady_sample> samples;
  for (const route* way : available_routes(how)) {
    load what{how, *way, refresh, std::chrono::seconds{how.seconds * 4}, true};
    plan longer = how;
    longer.seconds = how.seconds * 4;  // the checkpoint stands in the middle
    what.has_checkpoint = true;
    const load steady{longer, *way, refresh, what.length, true};
    samples.push_back({way, open_loop(steady, steady_rate)});
  }
  // The better of two: what was written before, the data perhaps, may still keep the disk busy.
  const double flush = std::min(flush_before, flush_time_ms(how));
  for (const auto& [way, got] : samples) {
    finding p99 = less(fmt::format("P11/{}/p99", way->name), got.percentile_ms(0.99), flush, 3, "ms");
    p99.note = fmt::format("p50 {:.2f}, p99.9 {:.2f}, worst {:.1f} ms; reference: pg_test_fsync",
                           got.percentile_ms(0.5), got.percentile_ms(0.999), got.percentile_ms(1));
    p99.samples = got.json();
    into.add(p99);
    into.add(less(fmt::format("P11/{}/postgres", way->name), got.postgres_cpu_us * steady_rate / 1e6, 1,
                  ten_percent_of_a_core, "cores"));
    into.add(less(fmt::format("P11/{}/client", way->name), got.own_cpu_us * steady_rate / 1e6, 1,
                  ten_percent_of_a_core, "cores"));
  }
}

void measure_latency(const plan& how, report& into) {
  const hot_statement refresh = refresh_statement();
  for (const route* way : available_routes(how)) {
    const load what{how, *way, refresh, std::chrono::seconds{how.seconds}, false};
    // What an open loop that offers all a closed one took gets through: the arrivals, each of which wakes us
    // by itself, cost CPU on the same cores.
    const double offered = closed_loop(what, how.callers).rate;
    std::vector<double> rates;
    for (int repeat = 0; repeat < 3; ++repeat) rates.push_back(open_loop(what, offered).rate);
    const double most = median(rates);
    for (const int share : {10, 50, 90}) {
      const our_sample got = open_loop(what, most * share / 100);
      finding one;
      one.name = fmt::format("latency/{}/{}%", way->name, share);
      one.ours = got.percentile_ms(0.50);
      one.less_is_better = true;
      one.unit = "ms p50";
      one.note = fmt::format(
          "p99 {:.2f}, p99.9 {:.2f} at {:.0f}/s, {:.1f} a batch, PostgreSQL {:.0f}, client {:.1f} us each",
          got.percentile_ms(0.99), got.percentile_ms(0.999), got.rate, got.batch, got.postgres_cpu_us,
          got.own_cpu_us);
      one.samples = got.json();
      into.add(one);
    }
  }
}

void measure_depth_one(const plan& how, report& into) {
  std::array<subject, 2> subjects{{{"refresh", refresh_statement()}, {"read", bearer_statement()}}};
  for (const route* way : available_routes(how)) {
    for (const subject& of : subjects) {
      const load what{how, *way, of.statement, std::chrono::milliseconds{how.seconds * 250}, false};
      std::vector<double> ours, bare;
      for (int repeat = 0; repeat < how.repeats; ++repeat) {
        ours.push_back(closed_loop(what, 1).percentile_ms(0.50));
        bare.push_back(bare_libpq(what).percentile_ms(0.50));
      }
      finding one =
          less(fmt::format("depth-1/{}/{}", way->name, of.name), median(ours), median(bare), 1.1, "ms p50");
      one.note = "reference: libpq, blocking";
      one.samples = fmt::format(R"({{"ours":{},"reference":{}}})", json_of(ours), json_of(bare));
      into.add(one);
    }
  }
}

}  // namespace pam::bench
