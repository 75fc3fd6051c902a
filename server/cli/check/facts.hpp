#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/config.hpp"
#include "server/runtime/pool_plan.hpp"

namespace pam::cli::check {

/// Settings by name, as the server shows them: a number in its base unit, else text.
using setting_map = std::map<std::string, std::string, std::less<>>;

/// What we ask for ourselves: from the configuration.
struct own_facts {
  runtime::pool_shape pools{};
  runtime::queue_shape queue{};
  std::uint64_t client_limit = 0;  ///< HTTP connections of a shard
  std::size_t statements = 0;      ///< prepared on a connection
  std::chrono::milliseconds request_limit{10'000};
  std::string user{};
  std::string database{};  ///< what the pooled route asks for
  std::string sslmode{};
  bool is_local = true;     ///< every database host is a socket or loopback
  bool shares_port = true;  ///< listen.reuse_port
};

struct replica {
  std::string name{};
  std::string state{};  ///< "streaming"; empty when we may not see it
  double lag_seconds = 0;
  std::int64_t lag_bytes = 0;
};

struct replication_slot {
  std::string name{};
  bool is_active = false;
  std::string wal_status{};  ///< reserved, extended, unreserved, lost
  std::int64_t retained_bytes = 0;
};

struct partitioned_table {
  std::string name{};
  std::string span{};  ///< day | month
  bool has_current = false;
  int ahead = 0;  ///< partitions after the current one, without a gap
  bool is_detach_pending = false;
};

/// What PostgreSQL says on the direct route of `[migrate]`.
struct postgres_facts {
  std::string unreachable{};  ///< why nobody answered; the rest is then empty
  int version = 0;            ///< as PQserverVersion
  setting_map settings{};
  std::vector<std::string> extensions{};
  bool is_standby = false;
  bool has_schema = false;
  double clock_skew_seconds = 0;  ///< its clock minus ours
  std::uint64_t connections = 0;  ///< of other clients, open now
  std::vector<replica> replicas{};
  std::vector<replication_slot> slots{};
  std::vector<partitioned_table> partitions{};
  std::vector<std::string> invalid_indexes{};
  std::int64_t oldest_transaction_age = 0;  ///< transactions, of the worst database
  std::vector<std::string> unanswered{};    ///< what it would not tell us, with the reason
};

/// What the route of `[database]` shows to the role that serves.
struct route_facts {
  std::string unreachable{};
  bool is_direct = false;  ///< nothing stands between
  bool is_read_only = false;
  bool is_superuser = false;
  bool is_tls = false;  ///< of the first step: to the pooler, or to the server
  setting_map settings{};
};

/// What PgBouncer's console says. Empty `version` when it cannot be asked.
struct pooler_facts {
  std::string refused{};  ///< why the console did not answer
  std::string version{};  ///< "1.24.1"
  setting_map settings{};
  setting_map entry{};                   ///< its line of SHOW DATABASES for ours
  std::vector<std::string> strangers{};  ///< other programs on our (database, user) pair
  std::vector<std::string> clients{};    ///< whoever is served now, our own servers too; not who asks
};

struct file_facts {
  std::string key{};  ///< of the configuration
  std::string path{};
  bool exists = false;
  bool is_readable = false;
  unsigned mode = 0;  ///< permission bits
};

struct certificate_facts {
  std::string path{};
  std::string problem{};  ///< why it could not be read
  double days_left = 0;
};

struct host_facts {
  std::uint64_t descriptor_limit = 0;      ///< RLIMIT_NOFILE, hard
  std::optional<int> tcp_migrate_req{};    ///< nothing: the kernel has none
  std::vector<file_facts> secret_files{};  ///< keys and passwords
  std::vector<certificate_facts> certificates{};
};

/// Everything `pam-auth check` judges. Plain data: what gathers it and what judges it do not meet.
struct facts {
  std::chrono::sys_days today;
  own_facts own;
  postgres_facts postgres;
  route_facts route;
  pooler_facts pooler;
  host_facts host;
};

}  // namespace pam::cli::check
