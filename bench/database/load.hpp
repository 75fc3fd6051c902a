#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "bench/database/plan.hpp"
#include "bench/database/world.hpp"

namespace pam::bench {

/// What one sample of `db::database` showed.
struct our_sample {
  double rate = 0;                                  ///< statements completed a second
  std::vector<std::chrono::nanoseconds> latencies;  ///< sorted
  double batch = 0;                                 ///< mean statements a Sync
  double own_cpu_us = 0;                            ///< CPU of this process a statement
  double postgres_cpu_us = 0;                       ///< CPU of PostgreSQL a statement

  [[nodiscard]] double percentile_ms(double share) const;
  /// A JSON object: the figures above, percentiles, and a histogram [[microseconds, how many], ...] of all
  /// latencies, rounded to three digits, from which anybody may compute other percentiles.
  [[nodiscard]] std::string json() const;
};

/// Who sends how much for how long.
struct load {
  const plan& how;
  const route& way;
  const hot_statement& statement;
  std::chrono::milliseconds length{1000};
  bool has_checkpoint = false;
};

/// `callers` coroutines, each of which sends its next statement when it has the answer to its last. Throws
/// when a statement fails or matches no row: a rate with errors in it is none.
[[nodiscard]] our_sample closed_loop(const load& what, std::size_t callers);

/// One statement every 1 / `rate` seconds, whatever became of those before it; a latency counts from when
/// the statement was due, so that a stall is seen by everybody who would have met it.
[[nodiscard]] our_sample open_loop(const load& what, double rate);

/// What statements leave behind.
struct memory_sample {
  double allocations = 0;      ///< calls of operator new a statement, hence without libpq's
  double all_allocations = 0;  ///< calls of malloc, calloc and realloc a statement, libpq's included
  double all_bytes = 0;        ///< that these asked for
  double growth_bytes = 0;     ///< of the heap over all statements, after a tenth to warm up
};

/// `callers` coroutines run `statements` statements on one database object.
[[nodiscard]] memory_sample run_counted(const load& what, std::size_t callers, std::size_t statements);

/// The same statement by bare libpq, one at a time: PQexecPrepared, or PQexecParams through an old pooler.
[[nodiscard]] our_sample bare_libpq(const load& what);

}  // namespace pam::bench
