#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "db/admin_connection.hpp"
#include "server/cli/migration_error.hpp"

namespace pam::cli {

/// How bad it is when an invariant does not hold.
enum class severity {
  broken,  ///< users are affected, or soon will be
  untidy,  ///< left over, harmless until maintenance takes it away
};

/// One fact about the whole database that did not hold.
struct finding {
  std::string_view name;  ///< stable, for scripts: "account_without_claim"
  severity how_bad = severity::broken;
  std::int64_t count = 0;
  std::string example;   ///< an id, a table, an index: never an address
  std::string sentence;  ///< what it means and what to do
};

/// Looks at the whole database: claims and their accounts in both directions, orphans of the tables without
/// foreign keys, indexes that are not valid, constraints nobody validated, objects of a foreign owner,
/// partitions missing or left over. Reads whole tables, one statement each; may run while the server serves.
/// @return what does not hold, worst first; empty: all is well
[[nodiscard]] migration_result<std::vector<finding>> check_invariants(db::admin_connection& connection);

}  // namespace pam::cli
