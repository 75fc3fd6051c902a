#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "server/runtime/config.hpp"

namespace pam::runtime {

/// What decides how many connections to databases are opened: the one place where they are counted.
struct pool_shape {
  std::uint64_t processes = 1;  ///< that share the database
  std::uint64_t shards = 1;     ///< a process
  std::uint64_t pipelines = 1;  ///< a shard, to the primary
  std::uint64_t leases = 4;     ///< a shard, to the primary
  std::uint64_t replicas = 0;
  std::uint64_t pooled_replicas = 0;     ///< those reached through the pooler of the primary
  bool may_run_beside_successor = true;  ///< a new version starts while the old one still serves

  /// To the primary, by one process.
  [[nodiscard]] std::uint64_t of_process() const { return shards * (pipelines + leases); }
  /// To each replica, by one process: a pipeline a shard.
  [[nodiscard]] std::uint64_t of_process_to_replica() const { return shards; }
  /// To the primary, by all processes.
  [[nodiscard]] std::uint64_t sum() const { return processes * of_process(); }
  /// The same while every process runs beside its successor.
  [[nodiscard]] std::uint64_t peak() const { return sum() * (may_run_beside_successor ? 2 : 1); }
  /// To one replica, while every process runs beside its successor.
  [[nodiscard]] std::uint64_t replica_peak() const {
    return processes * of_process_to_replica() * (may_run_beside_successor ? 2 : 1);
  }
  /// Clients of the primary's pooler: the pools, and a look at its console by each shard that connects.
  [[nodiscard]] std::uint64_t pooler_peak() const;
};

/// Connections of commands beside the servers, directly and as the owner: maintain opens two, migrate,
/// account or check one more. Nothing of ours keeps a connection for LISTEN.
constexpr std::uint64_t command_connections = 3;

/// @param processes  how many share the database; 0: as configured
[[nodiscard]] pool_shape pool_shape_of(const configuration& settings, std::uint64_t processes = 0);

/// "2 processes x 4 shards x (1 pipeline + 4 leases) = 40 connections".
[[nodiscard]] std::string pool_sum_text(const pool_shape& shape);
/// The same with the peak of a replacement, where there is one: "..., 80 while successors take over".
[[nodiscard]] std::string pool_peak_text(const pool_shape& shape);
/// Every purpose on a line of its own, for people.
[[nodiscard]] std::string pool_plan_text(const pool_shape& shape);

/// One limit that a server or a pooler states.
struct room_limit {
  enum class use : std::uint8_t {
    pools,           ///< counts the pools' connections to the primary
    with_commands,   ///< those of commands too
    pooler_clients,  ///< counts clients of the pooler
  };
  enum class beyond : std::uint8_t {
    refused,  ///< who comes after the last place gets an error
    waits,    ///< who comes after the last place waits for one; only the usual sum is held against it
  };
  std::string said;  ///< as an operator finds it: "PostgreSQL grants max_connections 100 - 3 reserved = 97"
  std::string setting;         ///< what raises it: "max_connections"
  std::uint64_t grants = 0;    ///< connections
  std::uint64_t reserved = 0;  ///< of the setting's value, for others
  use counts = use::pools;
  beyond how = beyond::refused;
};

struct room_verdict {
  enum class kind : std::uint8_t { fits, waits, refused } what = kind::fits;
  std::string
      sentence;  ///< the numbers, the setting to change and the value that would be right; empty: fits
};

/// Holds the pools against what servers state. The first limit that refuses wins, else the first that lets
/// wait. Without limits everything fits.
[[nodiscard]] room_verdict judge_room(const pool_shape& shape, const std::vector<room_limit>& limits);

/// The queue of a shard's pipelines, and the requests that admission lets stand in it.
struct queue_shape {
  std::uint64_t queue = 0;   ///< database.queue_limit
  std::uint64_t reads = 0;   ///< admission.read
  std::uint64_t writes = 0;  ///< admission.write
};
[[nodiscard]] queue_shape queue_shape_of(const configuration& settings);

/// A queue that is smaller than what admission lets in: both numbers, and the values that would be right.
struct queue_shortfall {
  std::string text;
  std::string cure;
};
/// Who is refused by the queue has cost work by then, and hides from the door how much can be carried
/// (docs/adr/0076). @return nothing where all who are admitted find a place
[[nodiscard]] std::optional<queue_shortfall> judge_queue(const queue_shape& shape);

/// Descriptors a process needs beside those of its clients: databases (a stalled pipeline is replaced before
/// it is closed, a cancel request has a connection of its own), event loops, listeners, the internal port,
/// logs and files.
[[nodiscard]] std::uint64_t descriptors_beside_clients(const pool_shape& shape);

/// A shard serves so many clients at least, or the process does not start.
constexpr std::uint64_t least_clients = 16;

/// The clients of a shard that descriptors allow.
/// @param wanted       limits.connections
/// @param descriptors  what the process may open
/// @return at most `wanted`; 0 when not even `least_clients` (or `wanted`, if that is less) fit
[[nodiscard]] std::uint64_t clients_that_fit(const pool_shape& shape, std::uint64_t wanted,
                                             std::uint64_t descriptors);

}  // namespace pam::runtime
