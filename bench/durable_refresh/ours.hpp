#pragma once

#include <chrono>

#include "bench/durable_refresh/fixture.hpp"
#include "db/config.hpp"

namespace pam::bench {

/// One sample of `db::database` in closed loop.
struct our_sample {
  double rate = 0;  ///< committed refreshes a second
  std::chrono::microseconds p50{};
  std::chrono::microseconds p99{};
  double batch = 0;  ///< mean statements a Sync
};

/// `how.callers` coroutines refresh random sessions for `how.seconds`. Throws when one fails: a rate with
/// errors in it is none.
[[nodiscard]] our_sample measure_ours(const plan& how, bool through_pooler);

}  // namespace pam::bench
