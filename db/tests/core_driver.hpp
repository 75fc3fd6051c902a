#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "db/detail/pipeline_core.hpp"

namespace pam::db::detail::testing {

using namespace std::chrono_literals;

inline constexpr statement read_one{"SELECT 1", types(), {}};
inline constexpr statement read_now{"SELECT 2", types(), {.is_urgent = true}};
inline constexpr auto read_keys_sql = for_several("SELECT 1 WHERE $1 <> ''", 1);
inline constexpr statement read_keys{read_keys_sql.c_str(), types(pg_type::text_array), {}};
inline constexpr statement read_key{
    "SELECT 1 WHERE $1 <> ''", types(pg_type::text), {.together = &read_keys}};
inline constexpr statement touch_session{"UPDATE sessions SET x = 1 WHERE id = $1",
                                         types(pg_type::text),
                                         {.rank = lock_rank::session, .conflict_key = 0}};
inline constexpr statement move_sessions{"UPDATE sessions SET x = 1 WHERE id = ANY ($1)",
                                         types(pg_type::text_array),
                                         {.rank = lock_rank::session, .conflict_key = 0}};
inline constexpr statement move_session{
    "UPDATE sessions SET x = 1 WHERE id = $1",
    types(pg_type::text),
    {.rank = lock_rank::session, .conflict_key = 0, .together = &move_sessions}};
inline constexpr statement charge_cells_once{
    "UPDATE cells SET x = x + 1 WHERE id = ANY ($1)",
    types(pg_type::text_array),
    {.repeat = repeat::once, .rank = lock_rank::other, .conflict_key = 0}};
inline constexpr statement charge_cell_once{
    "UPDATE cells SET x = x + 1 WHERE id = $1",
    types(pg_type::text),
    {.repeat = repeat::once, .rank = lock_rank::other, .conflict_key = 0, .together = &charge_cells_once}};
inline constexpr statement touch_account{"UPDATE accounts SET x = 1 WHERE id = $1",
                                         types(pg_type::text),
                                         {.rank = lock_rank::account, .conflict_key = 0}};
inline constexpr statement charge_once{
    "INSERT INTO charges VALUES ($1)", types(pg_type::text), {.repeat = repeat::once}};
inline constexpr statement sweep{"DELETE FROM old", types(), {.batch = batch::alone}};

inline error failure_with(std::string sqlstate) {
  error failure;
  failure.code = errc::rejected;
  failure.outcome = outcome::executed;
  failure.sqlstate = std::move(sqlstate);
  return failure;
}

/// Drives a core by hand: owns the entries, passes the time and gathers the effects.
class core_driver {
 public:
  explicit core_driver(core_limits limits = {}) : core(limits) {}

  entry& make(const statement& what, std::string_view key = {}, std::chrono::milliseconds budget = 10s) {
    entry& item = entries_.emplace_back();
    item.what = &what;
    if (what.parameter_count != 0) item.values.add_text(key);
    item.deadline = now + budget;
    return item;
  }
  entry& submit(const statement& what, std::string_view key = {}, std::chrono::milliseconds budget = 10s) {
    entry& item = make(what, key, budget);
    if (!core.submit(item)) refused.push_back(&item);
    return item;
  }
  std::vector<entry*> take(std::size_t channel = 0) {
    const auto batch = core.take_batch(channel, now);
    return {batch.begin(), batch.end()};
  }
  /// Answers everything of the oldest batch and its Sync.
  void answer_batch(std::size_t channel = 0) {
    while (core.answering(channel) != nullptr) ok = core.executed(channel) && ok;
    ok = core.synced(channel, now) && ok;
  }
  /// Answers the oldest batch, of which the statement at `index` fails.
  void fail_batch(std::size_t index, std::string sqlstate, std::size_t channel = 0) {
    for (std::size_t i = 0; i < index; ++i) ok = core.executed(channel) && ok;
    ok = core.rejected(channel, failure_with(std::move(sqlstate))) && ok;
    while (core.answering(channel) != nullptr) ok = core.aborted(channel) && ok;
    ok = core.synced(channel, now) && ok;
  }
  /// Answers the oldest batch, whose commit fails.
  void fail_sync(std::string sqlstate, std::size_t channel = 0) {
    while (core.answering(channel) != nullptr) ok = core.executed(channel) && ok;
    ok = core.rejected(channel, failure_with(std::move(sqlstate))) && ok;
    ok = core.synced(channel, now) && ok;
  }
  void advance(std::chrono::milliseconds time) {
    now += time;
    core.tick(now);
  }
  std::vector<entry*> finished() {
    gather();
    return std::exchange(finished_, {});
  }
  std::vector<entry*> released() {
    gather();
    return std::exchange(released_, {});
  }

  pipeline_core core;
  time_point now{1h};
  bool ok = true;  ///< false once the core called a report impossible
  std::vector<entry*> refused;

 private:
  void gather() {
    pipeline_core::effects some;
    core.collect(some);
    finished_.insert(finished_.end(), some.finished.begin(), some.finished.end());
    released_.insert(released_.end(), some.released.begin(), some.released.end());
  }
  std::deque<entry> entries_;
  std::vector<entry*> finished_;
  std::vector<entry*> released_;
};

}  // namespace pam::db::detail::testing
