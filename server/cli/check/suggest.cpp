#include "server/cli/check/suggest.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace pam::cli::check {

namespace {

constexpr std::uint64_t kibibyte = 1024;
constexpr std::uint64_t mebibyte = 1024 * kibibyte;
constexpr std::uint64_t gibibyte = 1024 * mebibyte;
/// The machine the specification's figures are for.
constexpr std::uint64_t specified_memory = 16 * gibibyte;

struct line {
  std::string name;
  std::string value;
  std::string why;
};

/// As postgresql.conf writes it: the largest unit that divides it, rounded down to two digits' worth.
std::string size(std::uint64_t bytes) {
  if (bytes >= 4 * gibibyte) return std::to_string(bytes / gibibyte) + "GB";
  if (bytes >= gibibyte && bytes % gibibyte == 0) return std::to_string(bytes / gibibyte) + "GB";
  if (bytes >= 64 * mebibyte || bytes % mebibyte == 0) return std::to_string(bytes / mebibyte) + "MB";
  return std::to_string(bytes / kibibyte) + "kB";
}

std::uint64_t scaled(std::uint64_t specified, std::uint64_t memory) {
  // Divides first: the product of two sizes does not fit.
  return specified / kibibyte * (memory / kibibyte) / (specified_memory / kibibyte) * kibibyte;
}

std::uint64_t shared_buffers_for(std::uint64_t memory) {
  return std::max(memory / 4, 128 * mebibyte);
}

/// Pages of 2 MiB that hold PostgreSQL's shared memory: the buffers, a thirty-second of them for what stands
/// beside each, and 64 MiB for its other tables; rather a few too many, since with too few it takes none. The
/// exact number is PostgreSQL's own, `shared_memory_size_in_huge_pages` (15 and newer).
std::uint64_t huge_pages_for(std::uint64_t buffers) {
  return (buffers + buffers / 32 + 64 * mebibyte) / (2 * mebibyte);
}

std::vector<line> memory_lines(std::uint64_t memory) {
  const std::uint64_t buffers = shared_buffers_for(memory);
  const std::uint64_t wal = std::clamp(buffers / 32, mebibyte, 16 * mebibyte);
  return {
      {"max_connections", "500", "the specification's ceiling; our own pools use at most 40 of them"},
      {"shared_buffers", size(buffers), "a quarter of the memory, as 4GB of 16 GiB"},
      {"huge_pages", "try", "the default; it needs what stands under sysctl.conf below"},
      {"effective_cache_size", size(memory / 4 * 3),
       "three quarters: what the kernel caches, for the planner only"},
      {"maintenance_work_mem", size(std::clamp(memory / 16, 64 * mebibyte, 2 * gibibyte)),
       "a sixteenth, at most 2GB: VACUUM and CREATE INDEX, each of them"},
      {"work_mem", size(std::clamp(scaled(5242 * kibibyte, memory), 1024 * kibibyte, 64 * mebibyte)),
       "for every sort of every connection at once; 5242kB at 16 GiB"},
      {"wal_buffers", size(wal), "a thirty-second of shared_buffers, at most 16MB"},
      {"min_wal_size", "1GB", "the specification's"},
      {"max_wal_size", size(std::clamp(memory / 4, gibibyte, 16 * gibibyte)),
       "as much as shared_buffers: checkpoints come by time, not by volume"},
  };
}

std::vector<line> planner_lines() {
  return {
      {"checkpoint_completion_target", "0.9",
       "a checkpoint spreads its writes, and refreshes keep their latency"},
      {"default_statistics_target", "100", "the specification's"},
      {"random_page_cost", "1.1", "flash storage; 4 for spinning disks"},
      {"effective_io_concurrency", "200", "flash storage; 2 for spinning disks"},
  };
}

std::vector<line> core_lines(unsigned cores) {
  const unsigned gather = std::clamp(cores / 2, 1U, 4U);
  return {
      {"max_worker_processes", std::to_string(std::max(cores, 8U)),
       "one a core, and never below the default of 8"},
      {"max_parallel_workers", std::to_string(cores), "one a core"},
      {"max_parallel_workers_per_gather", std::to_string(gather),
       "half the cores, at most 4: only reports are parallel"},
      {"max_parallel_maintenance_workers", std::to_string(gather), "the same, for CREATE INDEX"},
  };
}

std::vector<line> durability_lines() {
  return {
      {"fsync", "on", "never off: a crash would destroy the database"},
      {"full_page_writes", "on", "never off: a torn page cannot be repaired"},
      {"synchronous_commit", "on", "what is acknowledged is on disk; batches make it cheap"},
  };
}

std::string aligned(const line& one) {
  constexpr std::size_t column = 46;
  std::string text = one.name + " = " + one.value;
  text.resize(std::max(column, text.size() + 1), ' ');
  return text + "# " + one.why + "\n";
}

}  // namespace

std::string suggest(const machine& host) {
  std::string out = "# PostgreSQL alone on a machine with " + std::to_string(host.memory_bytes / mebibyte) +
                    " MiB and " + std::to_string(host.cores) + (host.cores == 1 ? " core\n" : " cores\n");
  const std::array all{memory_lines(host.memory_bytes), planner_lines(), core_lines(host.cores),
                       durability_lines()};
  for (const auto& part : all) {
    for (const line& one : part) out += aligned(one);
  }
  const unsigned pool = std::clamp(host.cores * 4, 8U, 40U);
  out += "\n# sysctl.conf\n";
  out += aligned({"vm.nr_hugepages", std::to_string(huge_pages_for(shared_buffers_for(host.memory_bytes))),
                  "shared memory in pages of 2 MiB: a seventh more refreshes of 5,000,000 sessions"});
  out += "\n# pgbouncer.ini\n";
  out += aligned({"default_pool_size", std::to_string(pool), "4 a core of the database, 8 to 40"});
  out += aligned({"max_prepared_statements", "500", "more than our statements; PgBouncer 1.21 or newer"});
  return out;
}

}  // namespace pam::cli::check
