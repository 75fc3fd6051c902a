#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include "async/gate.hpp"
#include "server/auth/upkeep_repository.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/metrics.hpp"

namespace pam::runtime {

/// What the upkeep last saw; written on its shard, readable from any thread. -1: not yet known.
struct upkeep_statistics {
  static constexpr std::array<std::string_view, 5> tables{"auth_events", "flow_states", "one_time_tokens",
                                                          "outbox", "sessions"};
  static constexpr std::array<std::string_view, 4> reports{"report_active", "report_daily_events",
                                                           "report_daily_sessions", "report_daily_sign_ups"};
  upkeep_statistics() {
    for (auto& each : ahead) each = -1;
    for (auto& each : report_age_seconds) each = -1;
  }
  std::array<std::atomic<std::int64_t>, tables.size()> ahead;  ///< partitions after the current one
  std::array<std::atomic<std::int64_t>, reports.size()> report_age_seconds;
  std::atomic<std::int64_t> maintenance_age_seconds{-1};
  std::atomic<std::int64_t> maintenance_failed_steps{-1};
  std::atomic<std::uint64_t> partitions_made{0};  ///< by this process, because maintenance had not
  std::atomic<std::uint64_t> heartbeats{0};
  std::atomic<std::uint64_t> heartbeats_failed{0};
};

/// A process's own upkeep, one a process: heartbeats in app_instances, so that migrations know who runs; the
/// net beneath maintenance, without which nobody could sign in on the first of a month; and what readiness
/// and metrics tell of both. Shard: `start` and `stop` on its own.
class upkeep {
 public:
  upkeep(boost::asio::io_context& context, db::database& database, logger& log, std::string version,
         std::int32_t schema_version);
  upkeep(const upkeep&) = delete;
  upkeep& operator=(const upkeep&) = delete;

  /// Beats, looks and repairs until `stop`.
  void start();
  /// Gives up a statement under way after half a second, says goodbye to the database when it was ever there,
  /// and waits for both: a second altogether, or until `deadline`.
  boost::asio::awaitable<void> stop(async::deadline deadline);

  [[nodiscard]] const upkeep_statistics& stats() const { return statistics_; }

 private:
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<void> beat();
  boost::asio::awaitable<bool> keep_partitions();
  boost::asio::awaitable<void> look();

  boost::asio::io_context& context_;
  auth::upkeep_repository repository_;
  logger& log_;
  auth::instance self_;
  boost::asio::steady_timer timer_;
  boost::asio::cancellation_signal leave_;
  async::gate background_;
  upkeep_statistics statistics_;
  bool has_beaten_ = false;
};

/// The lines /readyz adds to its answer: what is not urgent yet and will be. Empty: nothing.
[[nodiscard]] std::string readiness_notes(const upkeep_statistics& seen);
void write_upkeep(metrics_writer& out, const upkeep_statistics& seen);

}  // namespace pam::runtime
