#pragma once

#include <vector>

#include "bench/durable_refresh/fixture.hpp"

namespace pam::bench {

/// pgbench's transactions a second with one number of clients.
struct reference_sample {
  int clients = 0;
  double rate = 0;
};

/// Runs pgbench for `how.seconds` with 1, 4, 16 and 64 clients each on the same statement: `-M prepared`
/// to PostgreSQL, `-M extended` through the pooler.
[[nodiscard]] std::vector<reference_sample> measure_reference(const plan& how, bool through_pooler);

}  // namespace pam::bench
