#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "db/database.hpp"
#include "server/auth/error.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// A running server, as it tells the others of itself.
struct instance {
  uuid id{};
  std::string host;
  std::int32_t pid = 0;
  std::string version;
  std::int32_t schema_version = 0;  ///< the newest migration it was built with
  timestamp started_at{};
};

/// What stands ready of one partitioned table.
struct partition_supply {
  std::string table;
  bool has_current = false;
  bool has_next = false;
  std::int32_t ahead = 0;  ///< after the current one, without a gap
};

/// When a step of maintenance last ended.
struct maintenance_step {
  std::string name;
  std::int64_t age_seconds = 0;
  bool is_done = false;  ///< false: its last run failed
};

/// The SQL of a server's own upkeep: heartbeats, partitions, what maintenance left behind.
class upkeep_repository {
 public:
  explicit upkeep_repository(db::database& database) : database_(database) {}

  /// Writes that `who` is alive at `now`.
  boost::asio::awaitable<result<void>> beat(instance who, timestamp now, async::deadline deadline);
  /// Writes that it has ended: nobody needs to wait for it any more.
  boost::asio::awaitable<result<void>> end(uuid id, timestamp now, async::deadline deadline);

  /// Makes the current and the next partition of every table where maintenance has not.
  /// @return how many were missing
  boost::asio::awaitable<result<std::int32_t>> ensure_partitions(async::deadline deadline);

  boost::asio::awaitable<result<std::vector<partition_supply>>> supplies(timestamp now,
                                                                         async::deadline deadline);
  boost::asio::awaitable<result<std::vector<maintenance_step>>> steps(timestamp now,
                                                                      async::deadline deadline);

  /// For `execute_with_partitions`.
  static const db::statement& ensure_partitions_statement();
  static std::span<const db::statement* const> statements();

 private:
  db::database& database_;
};

}  // namespace pam::auth
