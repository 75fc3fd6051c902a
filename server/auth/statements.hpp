#pragma once

#include <vector>

#include "db/statement.hpp"

namespace pam::auth {

/// Every statement the domain executes: what `db::database` prepares. The order is fixed.
[[nodiscard]] std::vector<const db::statement*> statement_catalogue();

}  // namespace pam::auth
