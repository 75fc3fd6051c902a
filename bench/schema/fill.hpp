#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "db/admin_connection.hpp"

namespace pam::bench {

/// A session's row, by number: account, session and token hash can be computed, nothing is remembered.
/// Accounts are 00000000-0000-7000-8000-NNNNNNNNNNNN; session n belongs to account n / 4.
struct filled {
  std::int64_t sessions = 0;
  std::string database;
};

/// Makes the database, migrates it and fills it with sessions of the last four months, spread over their
/// partitions, in steps with a line of progress each; then vacuums. Goes on where an earlier call ended.
/// @param budget  begins no further step after it
/// @return whether the database is complete
bool fill(const db::admin_settings& where, const filled& how, std::chrono::seconds budget);
void drop(const db::admin_settings& where, const filled& how);

/// What the database counted, for P8.
struct cost {
  double wal_bytes = 0;  ///< a refresh, without full-page images
  double hot_percent = 0;
  double updates = 0;  ///< a refresh
  double inserts = 0;
};
struct counters {
  double wal_bytes = 0;
  double full_page_images = 0;
  double updates = 0;
  double hot_updates = 0;
  double inserts = 0;
};
counters count(const db::admin_settings& where, const filled& how);

db::admin_connection open(const db::admin_settings& where, const std::string& database);
void run(db::admin_connection& on, const std::string& script);

}  // namespace pam::bench
