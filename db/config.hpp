#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace pam::db {

class connect_turns;
class replica_watch;

/// What stands between us and PostgreSQL. Decides naming and how many batches may be in flight.
enum class pooler_mode : std::uint8_t {
  automatic,        ///< learn it (PgBouncer's admin console), else the safe mode
  direct,           ///< no pooler: named statements, several batches in flight
  pgbouncer_named,  ///< PgBouncer >= 1.21: named statements, several batches in flight
  pgbouncer_safe,   ///< older PgBouncer: unnamed statements, one batch in flight
};

/// One endpoint. `host` is a name, an address or an absolute directory of a Unix socket.
struct endpoint {
  std::string host = "localhost";
  std::uint16_t port = 5432;
  std::string database{};  ///< empty: the database everybody uses; else its alias in this pooler
};

/// Settings of one shard's database object.
struct config {
  std::vector<endpoint> hosts;  ///< tried in order, one `PGconn` each
  /// Standbys that may answer reads, each by itself: one pipeline, or a pooler's alias of its own.
  std::vector<endpoint> replicas;
  std::string database = "auth_rw";
  std::string user = "pam_app";
  std::string password;  ///< empty: peer, trust or passfile
  std::string sslmode = "prefer";
  std::string sslrootcert;
  std::string application_name = "pam-auth";

  pooler_mode mode = pooler_mode::automatic;
  std::string admin_database = "pgbouncer";  ///< the pooler's console, asked for `SHOW VERSION`

  std::size_t pipelines = 1;            ///< shared pipelined connections of this shard
  std::size_t leases = 4;               ///< exclusive connections of this shard, opened on demand
  std::size_t queue_limit = 8192;       ///< statements waiting for a pipeline; all that is admitted
  std::size_t lease_queue_limit = 64;   ///< callers waiting for a lease
  std::size_t batch_limit = 64;         ///< statements under one Sync
  std::size_t batch_bytes = 64 * 1024;  ///< parameter bytes under one Sync
  std::size_t batches_in_flight = 2;    ///< per connection; 1 in the safe mode whatever it says
  std::chrono::milliseconds connect_timeout{3000};
  /// Head of a pipeline older than this: another connection takes over, first to the other hosts. Well below
  /// a second: a server that was cut off gives no other sign.
  std::chrono::milliseconds stall_limit{700};
  /// What a replaced connection still has for its answers, while another serves; then it is closed, and
  /// on a direct connection what runs is cancelled. The role's statement_timeout.
  std::chrono::milliseconds stall_grace{2000};
  std::chrono::milliseconds probe_interval{100};  ///< between connection attempts while the database is down
  std::chrono::milliseconds replica_probe_interval{50};  ///< between looks at how far the replicas are
  /// Between two looks at whether the primary still is one and answers, so that an idle pool tells the truth
  /// about itself; 0: none. Replicas need more looks, which serve for this as well.
  std::chrono::milliseconds heartbeat{0};
  connect_turns* turns = nullptr;  ///< shared by the shards of a process; none: this object's own
  replica_watch* watch = nullptr;  ///< likewise
};

}  // namespace pam::db
