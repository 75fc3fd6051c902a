#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "db/config.hpp"

namespace pam::bench {

/// What to measure, how long, and where the servers are.
struct plan {
  // Servers; found by `services`
  std::string socket_dir;
  std::string data_dir;  ///< PostgreSQL's, for the CPU time of its processes and the flush time of its disk
  std::uint16_t postgres_port = 0;
  std::uint16_t pgbouncer_port = 0;      ///< 1.18
  std::uint16_t new_pgbouncer_port = 0;  ///< >= 1.21; 0 when there is none
  std::string superuser = "postgres";
  std::string pg_bin = "/usr/lib/postgresql/15/bin";
  std::string env;  ///< the file of services.sh that says all this

  std::string scratch = std::filesystem::temp_directory_path().string();  ///< for small files of a part

  std::vector<std::string> routes;  ///< names of those to measure; empty: every one that has a server

  // Data
  std::string database = "pam_bench_db";
  std::int64_t sessions = 200'000;
  bool is_kept = false;    ///< use the data that an earlier run left
  bool must_keep = false;  ///< leave the data to a later run

  // Effort
  int seconds = 2;  ///< length of one sample
  int repeats = 5;  ///< samples of each kind, interleaved: ours, reference, ours, ...
  bool has_checkpoint = true;
  std::size_t statements = 1'000'000;  ///< whose memory is weighed
  std::vector<std::string> weighed;    ///< read, refresh; empty: both

  std::string folder = ".";  ///< for the files of the curve

  // Ours
  std::size_t callers = 384;
  std::size_t pipelines = 2;
  std::size_t batch = 64;
  std::size_t batches_in_flight = 2;
};

/// A way to the server.
struct route {
  const char* name;
  std::uint16_t plan::* port;
  const char* user;      ///< the role of ours and of the reference
  const char* protocol;  ///< of pgbench -M
  db::pooler_mode mode;  ///< said, not learned: the product's role may not ask the pooler's console
  double target;         ///< of P1
};

/// The product's role plans generically; where every statement is planned anew (an old pooler) that costs
/// more than planning for the values (docs/adr/0016), so this role, of both sides, does the latter.
inline constexpr const char* custom_planning_role = "pam_bench_pooled";

inline constexpr route routes[] = {
    {"direct", &plan::postgres_port, "pam_app", "prepared", db::pooler_mode::direct, 8},
    {"pgbouncer-new", &plan::new_pgbouncer_port, "pam_app", "prepared", db::pooler_mode::pgbouncer_named, 6},
    {"pgbouncer-1.18", &plan::pgbouncer_port, custom_planning_role, "extended",
     db::pooler_mode::pgbouncer_safe, 5},
};

}  // namespace pam::bench
