#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <unordered_map>

#include "bench/schema/fill.hpp"

namespace pam::bench {

struct sample {
  std::int64_t refreshes = 0;
  std::chrono::microseconds p50{};
  std::chrono::microseconds p99{};
};

/// How refreshes come: `rate` a second, open loop, of sessions uniformly at random among the first
/// `sessions`.
struct arrival {
  int rate = 700;
  std::chrono::seconds length{10};
  std::int64_t sessions = 0;
};

/// The generations of sessions that an earlier run refreshed, by number. Reads the whole table, which also
/// brings it into memory as far as there is room.
std::unordered_map<std::int64_t, std::int32_t> refreshed_before(const db::admin_settings& where,
                                                                const filled& how);

/// Refreshes by the product's own statement. A session's hash is stored again unchanged and its generation is
/// remembered in `generations`, so that any session may come again. Throws when one fails.
sample refresh(const db::admin_settings& where, const filled& how, const arrival& coming,
               std::unordered_map<std::int64_t, std::int32_t>& generations);

}  // namespace pam::bench
