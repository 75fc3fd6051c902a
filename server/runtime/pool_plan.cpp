#include "server/runtime/pool_plan.hpp"

#include <algorithm>

namespace pam::runtime {

namespace {

/// Shared by all shards: the internal port's clients, its listener, the control socket, logs, key files and
/// certificates while they are read, what a predecessor hands over, the exporter of traces.
constexpr std::uint64_t descriptors_of_process = 128;
/// An event loop, its timers and wake-ups, the set of connections, a listener and one that was handed over,
/// the descriptor in reserve.
constexpr std::uint64_t descriptors_of_shard = 8;

std::string counted(std::uint64_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::uint64_t needed(const pool_shape& shape, const room_limit& limit) {
  if (limit.how == room_limit::beyond::waits) return shape.sum();
  switch (limit.counts) {
    case room_limit::use::pools:
      return shape.peak();
    case room_limit::use::with_commands:
      return shape.peak() + command_connections;
    case room_limit::use::pooler_clients:
      return shape.pooler_peak();
  }
  return 0;
}

/// "database.leases to 2", or fewer shards with the leases as they are; nothing when neither is enough.
std::optional<std::string> smaller_pools(pool_shape shape, const room_limit& limit) {
  const pool_shape given = shape;
  while (shape.leases > 1) {
    --shape.leases;
    if (needed(shape, limit) <= limit.grants) return "database.leases to " + std::to_string(shape.leases);
  }
  shape = given;
  while (shape.shards > 1) {
    --shape.shards;
    if (needed(shape, limit) <= limit.grants) return "server.shards to " + std::to_string(shape.shards);
  }
  return std::nullopt;
}

std::string counted_text(const pool_shape& shape, const room_limit& limit) {
  if (limit.how == room_limit::beyond::waits) return pool_sum_text(shape);
  const std::string all = std::to_string(needed(shape, limit));
  switch (limit.counts) {
    case room_limit::use::pools:
      break;
    case room_limit::use::with_commands:
      return pool_peak_text(shape) + ", with " + std::to_string(command_connections) +
             " of commands (maintain, migrate) " + all;
    case room_limit::use::pooler_clients:
      return pool_peak_text(shape) + ", with looks at the console" +
             (shape.pooled_replicas == 0 ? "" : " and replicas") + " " + all;
  }
  return pool_peak_text(shape);
}

}  // namespace

std::uint64_t pool_shape::pooler_peak() const {
  const std::uint64_t consoles = shards * (1 + pooled_replicas);
  const std::uint64_t of_all =
      processes * (of_process() + pooled_replicas * of_process_to_replica() + consoles);
  return of_all * (may_run_beside_successor ? 2 : 1);
}

pool_shape pool_shape_of(const configuration& settings, std::uint64_t processes) {
  pool_shape shape;
  shape.processes = processes != 0 ? processes : settings.server.processes;
  shape.shards = effective_shards(settings);
  shape.pipelines = settings.database.pipelines;
  shape.leases = settings.database.leases;
  shape.replicas = settings.database.replicas.size();
  for (const db::endpoint& one : settings.database.replicas) {
    const auto is_same = [&one](const db::endpoint& host) {
      return host.host == one.host && host.port == one.port;
    };
    if (std::ranges::any_of(settings.database.hosts, is_same)) ++shape.pooled_replicas;
  }
  shape.may_run_beside_successor = !settings.server.control_socket.empty() || settings.listen.reuse_port;
  return shape;
}

std::string pool_sum_text(const pool_shape& shape) {
  return counted(shape.processes, "process", "processes") + " x " + counted(shape.shards, "shard", "shards") +
         " x (" + counted(shape.pipelines, "pipeline", "pipelines") + " + " +
         counted(shape.leases, "lease", "leases") +
         ") = " + counted(shape.sum(), "connection", "connections");
}

std::string pool_peak_text(const pool_shape& shape) {
  std::string text = pool_sum_text(shape);
  if (shape.may_run_beside_successor) {
    text += ", " + std::to_string(shape.peak()) + " while successors take over";
  }
  return text;
}

std::string pool_plan_text(const pool_shape& shape) {
  std::string text = "to the primary: " + pool_peak_text(shape) + "\n";
  if (shape.replicas != 0) {
    text += "to each of " + counted(shape.replicas, "replica", "replicas") + ": " +
            counted(shape.processes, "process", "processes") + " x " +
            counted(shape.shards, "shard", "shards") + " = " +
            counted(shape.processes * shape.of_process_to_replica(), "connection", "connections") +
            (shape.may_run_beside_successor
                 ? ", " + std::to_string(shape.replica_peak()) + " while successors take over"
                 : "") +
            "\n";
  }
  text += "to a pooler's console: one for a moment by each shard that connects, so " +
          std::to_string(shape.pooler_peak()) + " clients of it at most\n";
  text += "of commands, directly (maintain, migrate): " + std::to_string(command_connections) + "\n";
  return text;
}

room_verdict judge_room(const pool_shape& shape, const std::vector<room_limit>& limits) {
  room_verdict verdict;
  for (const room_limit& limit : limits) {
    const std::uint64_t wanted = needed(shape, limit);
    if (wanted <= limit.grants) continue;
    const bool waits = limit.how == room_limit::beyond::waits;
    if (waits && verdict.what == room_verdict::kind::waits) continue;
    const auto smaller = smaller_pools(shape, limit);
    const std::string raise = limit.setting + " to " + std::to_string(wanted + limit.reserved);
    verdict.what = waits ? room_verdict::kind::waits : room_verdict::kind::refused;
    verdict.sentence = counted_text(shape, limit) + ", but " + limit.said + ": " +
                       (smaller ? "set " + *smaller + ", or " : "") + "raise " + raise;
    if (!waits) break;
  }
  return verdict;
}

queue_shape queue_shape_of(const configuration& settings) {
  return {.queue = settings.database.queue_limit,
          .reads = settings.admission.read,
          .writes = settings.admission.write};
}

std::optional<queue_shortfall> judge_queue(const queue_shape& shape) {
  const std::uint64_t admitted = shape.reads + shape.writes;
  if (shape.queue >= admitted) return std::nullopt;
  queue_shortfall found;
  found.text = "database.queue_limit is " + std::to_string(shape.queue) +
               ", but admission.read + admission.write let in " + std::to_string(shape.reads) + " + " +
               std::to_string(shape.writes) + " = " + std::to_string(admitted) + " requests";
  found.cure = "set database.queue_limit to " + std::to_string(admitted) +
               ", or lower admission.read and admission.write to " + std::to_string(shape.queue) +
               " together";
  return found;
}

std::uint64_t descriptors_beside_clients(const pool_shape& shape) {
  const std::uint64_t primary = 2 * shape.pipelines + shape.leases + 1;
  const std::uint64_t replica = 3;  // a pipeline, its replacement, a console
  const std::uint64_t cancels = 8;  // at a time
  return descriptors_of_process +
         shape.shards * (descriptors_of_shard + primary + cancels + shape.replicas * replica);
}

std::uint64_t clients_that_fit(const pool_shape& shape, std::uint64_t wanted, std::uint64_t descriptors) {
  const std::uint64_t ours = descriptors_beside_clients(shape);
  if (descriptors <= ours) return 0;
  const std::uint64_t most = std::min(wanted, (descriptors - ours) / shape.shards);
  return most < std::min(wanted, least_clients) ? 0 : most;
}

}  // namespace pam::runtime
