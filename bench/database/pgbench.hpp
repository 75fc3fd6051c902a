#pragma once

#include <vector>

#include "bench/database/plan.hpp"
#include "bench/database/world.hpp"

namespace pam::bench {

/// pgbench's transactions a second with one number of clients.
struct reference_sample {
  int clients = 0;
  double rate = 0;
  double own_cpu_us = 0;  ///< of pgbench, a transaction
};

/// Runs pgbench on the same statement, route and role for `how.seconds`. Throws when a transaction failed.
[[nodiscard]] reference_sample run_pgbench(const plan& how, const route& way, const hot_statement& statement,
                                           int clients, bool has_checkpoint);

/// The same with 1, 4, 16 and 64 clients.
[[nodiscard]] std::vector<reference_sample> run_pgbench_sizes(const plan& how, const route& way,
                                                              const hot_statement& statement,
                                                              bool has_checkpoint);

[[nodiscard]] double best_rate(const std::vector<reference_sample>& of);

}  // namespace pam::bench
