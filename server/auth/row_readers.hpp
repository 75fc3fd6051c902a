#pragma once

#include <cstddef>

#include "db/rows.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// Reads an account and its identities from rows that begin with `account_list, identity_list`
/// (detail/sql_text.hpp). @pre `from` has at least one row
[[nodiscard]] account read_account(const db::rows& from);

/// Reads a session from the columns of `session_list` that begin at `first` in row `row`.
[[nodiscard]] session read_session(const db::rows& from, std::size_t row, std::size_t first);

[[nodiscard]] std::optional<timestamp> read_time(const db::rows& from, std::size_t row, std::size_t column);

}  // namespace pam::auth
