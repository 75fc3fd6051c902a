#pragma once

#include "db/admin_connection.hpp"
#include "server/cli/migration_error.hpp"

namespace pam::cli {

/// Which servers a step would break.
enum class endangered {
  older,  ///< built before the migration: it takes something away that they use
  newer,  ///< built with the migration: going back takes away what they use
};

/// Refuses while a server that `step` would break is alive, by the heartbeats in app_instances. A server is
/// alive until it says that it ended, or has not been seen for a minute.
/// @return guarded when such a server lives, or when this schema has no heartbeats to ask
[[nodiscard]] migration_result<void> check_instances(db::admin_connection& connection, int version,
                                                     std::string_view name, endangered who);

}  // namespace pam::cli
