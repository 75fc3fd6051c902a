#pragma once

#include <cstdint>
#include <future>
#include <memory>
#include <string>

#include <boost/uuid/uuid.hpp>

#include "bench/database/plan.hpp"
#include "db/admin_connection.hpp"
#include "db/params.hpp"
#include "db/statement.hpp"

namespace pam::bench {

/// Session `n` has the id whose hexadecimal digits are `n` written in decimal: pgbench, which has no
/// strings, makes the same ids by `lpad(n::text, 32, '0')::uuid`. Ids grow with `n` as UUIDv7 do with time.
[[nodiscard]] boost::uuids::uuid id_of(std::int64_t number);
/// Two sessions share an account.
[[nodiscard]] inline std::int64_t account_of(std::int64_t session) {
  return session / 2;
}

/// A statement of the product, and the same one as a pgbench script.
struct hot_statement {
  std::string sql;
  std::string several_sql;
  std::unique_ptr<db::statement> several;  ///< points into `several_sql`; null when it travels for itself
  std::unique_ptr<db::statement> what;     ///< points into `sql`
  std::string pgbench_script;              ///< uses the variable `sessions`; empty: pgbench's own, -S
  db::params (*parameters)(std::int64_t session) = nullptr;
};

/// The refresh of the catalogue. Its generation is compared by >=, since pgbench cannot know it, and every
/// refresh presents and stores the same hash.
[[nodiscard]] hot_statement refresh_statement();
/// The read by key behind every bearer token.
[[nodiscard]] hot_statement bearer_statement();
/// The read of `pgbench -S`; `session` is a row of pgbench_accounts then.
[[nodiscard]] hot_statement pgbench_statement();

[[nodiscard]] db::admin_connection connect(const plan& how, const std::string& database);
void run(db::admin_connection& on, const std::string& script);
[[nodiscard]] std::string value(db::admin_connection& on, const std::string& sql);

/// Makes the database: migrated as the product's, five filled partitions of sessions, three empty ones
/// ahead, two sessions an account. Throws when commits would not be durable.
void create_world(const plan& how);
/// The sessions of a database that an earlier run made and left. Throws when there is none.
[[nodiscard]] std::int64_t kept_sessions(const plan& how);
void drop_world(const plan& how);

/// Makes pgbench's tables if they are not there, readable for every role; returns how many accounts they
/// hold.
std::int64_t make_pgbench_tables(const plan& how);

/// Runs CHECKPOINT `seconds / 2` into a sample, beside it; the destructor waits for its end.
class checkpoint_in_the_middle {
 public:
  explicit checkpoint_in_the_middle(const plan& how);
  /// Waits for it. Throws when it failed: the sample has not seen one then.
  void finish();

 private:
  std::future<void> done_;  // of std::async: waits when it dies
};

}  // namespace pam::bench
