#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/cli/migration_runner.hpp"
#include "server/cli/sql_statements.hpp"

namespace pam::cli {

/// One statement of a pending migration with what it will meet in this database.
struct previewed_statement {
  forecast what;
  std::int64_t rows = 0;   ///< rows of the table it works through, by the planner's statistics
  std::int64_t bytes = 0;  ///< size of that table
};

struct previewed_migration {
  std::string name;
  migration_directives how;
  std::vector<previewed_statement> statements;
};

/// What `migrate_up` would do now: every statement of every pending migration with the lock it takes on
/// tables that are in use and the rows it works through. Changes nothing and takes no lock but its own
/// reading ones.
[[nodiscard]] migration_result<std::vector<previewed_migration>> migrate_plan(
    db::admin_connection& connection, const migration_options& options);

/// "about 12 s": from the rows and a cautious rate of each kind of work on a small machine; "at once" where
/// only the catalogue changes.
[[nodiscard]] std::string expected_time(const previewed_statement& of);

}  // namespace pam::cli
