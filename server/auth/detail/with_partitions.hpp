#pragma once

#include <utility>

#include <boost/asio/awaitable.hpp>

#include "db/database.hpp"
#include "server/auth/upkeep_repository.hpp"

namespace pam::auth::detail {

/// True when an INSERT found no partition for its row: a check violation that names no constraint
/// (PostgreSQL, ExecFindPartition).
inline bool is_partition_missing(const db::error& failure) {
  return failure.sqlstate == "23514" && failure.constraint.empty();
}

inline bool is_lock_refused(const db::error& failure) {
  return failure.sqlstate == "55P03" || failure.sqlstate == "40P01";
}

/// Runs a statement that inserts into a partitioned table. Where nobody made the partition in time, it is
/// made and the statement runs again: the user does not notice. Callers that come together line up behind the
/// first of them under the role's short lock_timeout, hence the tries.
/// @param make  makes the statement's parameters; called for every try, before this completes
template <class MakeParams>
boost::asio::awaitable<db::result<db::rows>> execute_with_partitions(db::database& database,
                                                                     const db::statement& what,
                                                                     const MakeParams& make,
                                                                     db::call_options options) {
  constexpr int tries = 8;
  auto rows = co_await database.execute(what, make(), options);
  if (rows.has_value() || !is_partition_missing(rows.error())) co_return rows;
  for (int again = 1; again < tries; ++again) {
    auto made =
        co_await database.execute(upkeep_repository::ensure_partitions_statement(), db::params{}, options);
    // Whoever comes second may meet the first one's catalogue rows; only a lost connection ends it here.
    if (made.has_error() && made.error().code != db::errc::rejected) co_return made.error();
    rows = co_await database.execute(what, make(), options);
    if (rows.has_value()) break;
    if (!is_partition_missing(rows.error()) && !is_lock_refused(rows.error())) break;
  }
  co_return rows;
}

}  // namespace pam::auth::detail
