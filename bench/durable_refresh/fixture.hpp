#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

#include <boost/uuid/uuid.hpp>

namespace pam::bench {

/// Where the servers are and how much to do.
struct plan {
  std::string socket_dir;
  std::uint16_t postgres_port = 5432;
  std::uint16_t pgbouncer_port = 6432;
  std::string superuser = "postgres";
  /// Role of the pooler's route, ours and the reference's. Unnamed statements are planned each time, and
  /// a generic plan covers all partitions (0.39 ms against 0.12 ms here): it plans for the values instead.
  std::string pooled_user = "pam_bench_pooled";
  std::string pg_bin = "/usr/lib/postgresql/15/bin";
  std::string database = "pam_bench_durable_refresh";
  std::int64_t sessions = 200'000;
  int seconds = 5;
  int repeats = 3;
  std::size_t callers = 256;
  std::size_t pipelines = 1;
  bool has_checkpoint = true;  ///< one in the middle of every sample
};

/// Session `n` has the id whose hexadecimal digits are `n` written in decimal: pgbench, which has no
/// strings, makes the same ids by `lpad(n::text, 32, '0')::uuid`. Ids grow with `n` as UUIDv7 do with time.
[[nodiscard]] boost::uuids::uuid id_of(std::int64_t number);
[[nodiscard]] inline const std::string& user_of(const plan& how, bool through_pooler) {
  return through_pooler ? how.pooled_user : how.superuser;
}
/// Two sessions share an account.
[[nodiscard]] inline std::int64_t account_of(std::int64_t session) {
  return session / 2;
}

/// Makes the database with accounts and partitioned sessions, and checks that commits are durable.
void create_schema(const plan& how);
void drop_schema(const plan& how);

/// Runs CHECKPOINT `seconds / 2` into a sample, beside it; the destructor waits for its end.
class checkpoint_in_the_middle {
 public:
  explicit checkpoint_in_the_middle(const plan& how);

 private:
  std::jthread worker_;  // joins when it dies
};

}  // namespace pam::bench
