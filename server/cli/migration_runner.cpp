#include "server/cli/migration_runner.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "server/cli/detail/migration_work.hpp"
#include "server/cli/migration_directives.hpp"

namespace pam::cli {

namespace {

using detail::describe;
using detail::migration_task;
using detail::runner;

constexpr const char* select_ledger = R"(
SELECT version, name, up_sha256, down_sha256, state,
       to_char(applied_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'), duration_ms, app_version
  FROM public.schema_migrations ORDER BY version)";

std::int64_t as_integer(const db::text_value& text) {
  std::int64_t value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

ledger_state as_state(const db::text_value& text) {
  if (text == "applied") return ledger_state::applied;
  return text == "running" ? ledger_state::running : ledger_state::failed;
}

migration_result<migration_task> make_task(const migrations::migration& what, bool is_up) {
  const auto how =
      parse_directives(is_up ? what.up : what.down, display_name(what) + (is_up ? ".up.sql" : ".down.sql"));
  if (how.has_error()) return how.error();
  return migration_task{.what = &what, .is_up = is_up, .how = *how};
}

/// Every header is read before the first file runs: a mistake in the last one must not stop a run half-way.
migration_result<std::vector<migration_task>> make_tasks(std::span<const migrations::migration> files,
                                                         bool is_up) {
  std::vector<migration_task> tasks;
  for (const migrations::migration& what : files) {
    auto job = make_task(what, is_up);
    if (job.has_error()) return job.error();
    tasks.push_back(std::move(*job));
  }
  return tasks;
}

/// What of the pending ones this run is asked for.
void keep_wanted(std::vector<migration_task>& tasks, const migration_options& options) {
  const auto end = std::ranges::find_if(tasks, [&](const migration_task& job) {
    return (options.target > 0 && job.what->version > options.target) ||
           (options.only_backfills && job.how.phase != migration_phase::backfill);
  });
  tasks.erase(end, tasks.end());
}

migration_result<migration_plan> read_and_judge(db::admin_connection& connection,
                                                const migration_options& options) {
  const auto ledger = read_ledger(connection);
  if (ledger.has_error()) return ledger.error();
  return judge(options.known, *ledger);
}

}  // namespace

migration_result<std::vector<ledger_row>> read_ledger(db::admin_connection& connection) {
  const auto exists = connection.query("SELECT to_regclass('public.schema_migrations') IS NOT NULL");
  if (exists.has_error()) return describe(exists.error(), "The ledger could not be looked up");
  std::vector<ledger_row> ledger;
  if (exists->values[0][0] == "f") return ledger;
  const auto found = connection.query(select_ledger);
  if (found.has_error()) return describe(found.error(), "The ledger could not be read");
  for (const db::text_row& row : found->values) {
    ledger.push_back({.version = static_cast<int>(as_integer(row[0])),
                      .name = row[1].value_or(""),
                      .up_sha256 = row[2].value_or(""),
                      .down_sha256 = row[3].value_or(""),
                      .state = as_state(row[4]),
                      .applied_at = row[5].value_or(""),
                      .duration_ms = as_integer(row[6]),
                      .app_version = row[7].value_or("")});
  }
  return ledger;
}

migration_result<migration_report> migrate_up(db::admin_connection& connection,
                                              const migration_options& options) {
  runner work{connection, options};
  const auto ready = work.prepare();
  if (ready.has_error()) return ready.error();
  const auto plan = read_and_judge(connection, options);
  if (plan.has_error()) return plan.error();
  auto tasks = make_tasks(options.known.subspan(plan->first), true);
  if (tasks.has_error()) return tasks.error();
  migration_report report{.from = plan->current, .to = plan->current};
  if (options.target > 0 && options.target < plan->current) {
    return migration_error{migration_errc::failed, "The database is at migration " +
                                                       std::to_string(plan->current) + ", above " +
                                                       std::to_string(options.target) +
                                                       ": `migrate down` goes back, and loses data."};
  }
  keep_wanted(*tasks, options);
  for (const migration_task& job : *tasks) {
    const auto done = work.run(job);
    if (done.has_error()) return done.error();
    report.to = job.what->version;
    ++report.count;
  }
  return report;
}

migration_result<migration_report> migrate_down(db::admin_connection& connection, int target,
                                                const migration_options& options) {
  runner work{connection, options};
  const auto ready = work.prepare();
  if (ready.has_error()) return ready.error();
  const auto plan = read_and_judge(connection, options);
  if (plan.has_error()) return plan.error();
  // A file that stopped half-way may have left something: its way back takes that too.
  const int highest = plan->current + (plan->is_resuming ? 1 : 0);
  migration_report report{.from = highest, .to = highest};
  if (target < 0 || target > highest) {
    return migration_error{migration_errc::failed, "The database is at migration " + std::to_string(highest) +
                                                       ": it cannot go down to " + std::to_string(target) +
                                                       "."};
  }
  const auto first = static_cast<std::size_t>(target);
  auto tasks = make_tasks(options.known.subspan(first, static_cast<std::size_t>(highest) - first), false);
  if (tasks.has_error()) return tasks.error();
  std::ranges::reverse(*tasks);
  for (const migration_task& job : *tasks) {
    const auto done = work.run(job);
    if (done.has_error()) return done.error();
    report.to = job.what->version - 1;
    ++report.count;
  }
  return report;
}

migration_result<migration_report> migrate_verify(db::admin_connection& connection,
                                                  const migration_options& options) {
  runner work{connection, options};
  const auto plan = read_and_judge(connection, options);
  if (plan.has_error()) return plan.error();
  migration_report report{.from = plan->current, .to = plan->current};
  for (const migrations::migration& what : options.known.first(plan->first)) {
    const auto done = work.verify(what);
    if (done.has_error()) return done.error();
    ++report.count;
  }
  return report;
}

}  // namespace pam::cli
