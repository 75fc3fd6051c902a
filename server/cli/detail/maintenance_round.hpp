#pragma once

#include <optional>
#include <random>

#include "server/cli/maintenance.hpp"

namespace pam::cli::detail {

/// What the steps of one round share: the connection, the lock rule, the reporting.
class maintenance_round {
 public:
  maintenance_round(db::admin_connection& connection, const maintenance_options& options,
                    const maintenance_listener& listener)
      : connection_(connection), options_(options), listener_(listener) {}

  migration_result<void> prepare();
  [[nodiscard]] int failures() const { return failures_; }
  [[nodiscard]] const maintenance_options& options() const { return options_; }

  /// The rows of a question; a failure is reported as the step's and gives none.
  db::text_rows ask(const std::string& step, const std::string& sql,
                    std::initializer_list<db::text_value> parameters = {});
  /// Changes something, unless this is a dry run: reports `what` with its time either way.
  /// A refused lock is tried again, `lock_tries` times, with jitter. @return false when it failed
  bool act(const std::string& step, const std::string& what, const std::string& sql);
  /// The same for a statement that answers how many rows it changed; reports only when there were some.
  std::int64_t count(const std::string& step, const std::string& what, const std::string& sql);
  void report(const std::string& step, std::string line, step_outcome outcome,
              std::chrono::milliseconds taken = {});
  /// True when what can wait should: reports it as postponed.
  bool is_busy(const std::string& step);
  /// Notes how a step ended in maintenance_steps.
  void note(const std::string& step, std::chrono::milliseconds taken, bool is_done,
            const std::string& detail);

 private:
  std::optional<db::error> under_lock_rule(const std::string& sql, db::text_rows* rows);

  db::admin_connection& connection_;
  const maintenance_options& options_;
  const maintenance_listener& listener_;
  std::minstd_rand random_{std::random_device{}()};
  int failures_ = 0;
};

void finish_detaches(maintenance_round& round);
void make_partitions(maintenance_round& round);
void drop_partitions(maintenance_round& round);
void free_claims(maintenance_round& round);
void forget_instances(maintenance_round& round);
void vacuum_tables(maintenance_round& round);
void gather_statistics(maintenance_round& round);
void rebuild_indexes(maintenance_round& round);
void refresh_reports(maintenance_round& round);

}  // namespace pam::cli::detail
