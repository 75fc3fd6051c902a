#pragma once

#include <string>
#include <vector>

#include "bench/database/plan.hpp"
#include "bench/database/report.hpp"
#include "bench/database/world.hpp"

namespace pam::bench {

/// The routes that have a server here.
[[nodiscard]] std::vector<const route*> available_routes(const plan& how);

/// A statement with a name for the report.
struct subject {
  std::string name;
  hot_statement statement;
};
/// What `how.weighed` asks for.
[[nodiscard]] std::vector<subject> weighed_subjects(const plan& how);

/// P1: durable refreshes a second against the best of pgbench; CPU a statement of both.
void measure_refresh(const plan& how, report& into);
/// P11: 700 refreshes a second, open loop, a checkpoint inside. Then the latency at 10, 50 and 90 % of the
/// highest rate, open loop, and of a single caller against bare libpq.
void measure_steady(const plan& how, report& into);
void measure_latency(const plan& how, report& into);
void measure_depth_one(const plan& how, report& into);
/// Reads by key at depth 1, 8 and 64 against pgbench with as many clients: the product's read behind a bearer
/// token, and the one of `pgbench -S`.
void measure_reads(const plan& how, report& into);
void measure_keys(const plan& how, report& into);
/// P8: what a refresh costs the database, by its own counters.
void measure_cost(const plan& how, report& into);
/// Allocations and bytes a statement, and whether memory grows over `how.statements` of them.
void measure_memory(const plan& how, report& into);
/// Refreshes a second by batch size and connections; also as db_curve.csv and .svg in `how.folder`.
void measure_curve(const plan& how, report& into);
/// Instructions a statement of our own process, by callgrind.
void measure_instructions(const plan& how, report& into);

}  // namespace pam::bench
