#pragma once

#include <chrono>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "server/cli/migration_directives.hpp"
#include "server/cli/migration_runner.hpp"

namespace pam::cli::detail {

/// One file on its way: what it is and which way it goes.
struct migration_task {
  const migrations::migration* what = nullptr;
  bool is_up = true;
  migration_directives how;

  [[nodiscard]] std::string name() const { return display_name(*what); }
  [[nodiscard]] std::string script() const { return std::string{is_up ? what->up : what->down}; }
};

/// What one run of migrations does on its connection: holds the lock of runners, applies and takes back
/// files, keeps the ledger.
class runner {
 public:
  runner(db::admin_connection& connection, const migration_options& options)
      : connection_(connection), options_(options) {}
  runner(const runner&) = delete;
  runner& operator=(const runner&) = delete;
  ~runner() { unlock(); }

  /// Judges the server, waits for other runners, makes the ledger where there is none.
  migration_result<void> prepare();
  /// Applies a file or takes it back, and notes it; tries again while its tables are locked.
  migration_result<void> run(const migration_task& job);
  /// Checks an applied file's facts in a read-only transaction; needs no `prepare`.
  migration_result<void> verify(const migrations::migration& what);
  void report(migration_progress::step what, int version, std::string line) const {
    if (options_.on_progress) options_.on_progress({what, version, std::move(line), {}});
  }

 private:
  migration_result<void> check_server();
  migration_result<void> check_gate(const migration_task& job);
  migration_result<void> run_by_key(const migration_task& job);
  migration_result<void> lock();
  void unlock();
  db::result<void> run_in_transaction(const migration_task& job);
  db::result<void> run_alone(const migration_task& job);
  db::result<void> run_alone_marked(const migration_task& job, std::chrono::steady_clock::time_point begin);
  db::result<void> record(const migration_task& job, ledger_state state,
                          std::chrono::steady_clock::time_point begin);
  db::result<std::vector<std::string>> scripts_of(const migration_task& job);
  db::result<void> drop_invalid_leftovers(std::string_view script);
  db::result<void> configure(const migration_task& job, std::string_view scope);
  db::result<void> forget_progress(const migration_task& job);
  void pause(int tries);

  db::admin_connection& connection_;
  const migration_options& options_;
  std::minstd_rand random_{std::random_device{}()};
  bool is_locked_ = false;
};

/// What a failed database call means for a run, with `what` could not be done.
[[nodiscard]] migration_error describe(const db::error& failure, const std::string& what);

}  // namespace pam::cli::detail
