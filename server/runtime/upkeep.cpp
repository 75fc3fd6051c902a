#include "server/runtime/upkeep.hpp"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>

#include "async/tuple_await.hpp"
#include "server/crypto/random.hpp"

namespace pam::runtime {
namespace {

using std::chrono::steady_clock;

// A migration takes a server for gone that was not seen for a minute: five beats may be lost.
constexpr std::chrono::seconds between_beats{12};
constexpr std::chrono::minutes between_repairs{30};
constexpr std::chrono::seconds after_failure{5};
constexpr std::chrono::seconds patience{10};
// Of a stop: for the statement under way; for it and the goodbye together.
constexpr std::chrono::milliseconds last_statement_wait{500};
constexpr std::chrono::seconds goodbye_wait{1};

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

template <class Names, class Values>
void set(const Names& names, Values& values, std::string_view name, std::int64_t value) {
  const auto at = std::find(names.begin(), names.end(), name);
  if (at != names.end()) values[static_cast<std::size_t>(at - names.begin())] = value;
}

}  // namespace

upkeep::upkeep(boost::asio::io_context& context, db::database& database, logger& log, std::string version,
               std::int32_t schema_version)
    : context_(context),
      repository_(database),
      log_(log),
      timer_(context),
      background_(context.get_executor()) {
  self_.started_at = auth::clock_now();
  self_.id = crypto::uuid_v7(self_.started_at);
  self_.host = host_name();
  self_.pid = static_cast<std::int32_t>(getpid());
  self_.version = std::move(version);
  self_.schema_version = schema_version;
}

void upkeep::start() {
  boost::asio::co_spawn(context_, run(),
                        boost::asio::bind_cancellation_slot(leave_.slot(), boost::asio::detached));
}

boost::asio::awaitable<void> upkeep::run() {
  const async::gate::pass inside = background_.enter();
  // A statement that is given up answers; what follows looks at the gate.
  co_await boost::asio::this_coro::throw_if_cancelled(false);
  auto next_repair = steady_clock::now();
  while (!background_.is_closing()) {
    co_await beat();
    if (background_.is_closing()) break;
    bool has_failed = false;
    if (steady_clock::now() >= next_repair) {
      has_failed = !co_await keep_partitions();
      if (!has_failed) next_repair = steady_clock::now() + between_repairs;
      if (background_.is_closing()) break;
    }
    co_await look();
    if (background_.is_closing()) break;
    timer_.expires_after(has_failed ? after_failure : between_beats);
    co_await timer_.async_wait(async::tuple_await);
  }
}

boost::asio::awaitable<void> upkeep::stop(async::deadline deadline) {
  background_.begin_close();
  timer_.cancel();
  const async::deadline goodbye = std::min(deadline, async::within(goodbye_wait));
  // A statement for a database that nobody finds would wait out its patience, and the process with it.
  timer_.expires_at(std::min(goodbye, async::within(last_statement_wait)));
  timer_.async_wait([this](const boost::system::error_code& failure) {
    if (!failure) leave_.emit(boost::asio::cancellation_type::terminal);
  });
  co_await background_.close();
  timer_.cancel();
  // A heartbeat that goes stale says the same a minute later.
  if (has_beaten_) {
    auto ended = co_await repository_.end(self_.id, auth::clock_now(), goodbye);
    if (ended.has_error()) log_.warn("goodbye_not_written", {{"detail", ended.error().detail}});
  }
}

boost::asio::awaitable<void> upkeep::beat() {
  auto beaten = co_await repository_.beat(self_, auth::clock_now(), async::within(patience));
  if (beaten.has_value()) {
    has_beaten_ = true;
    ++statistics_.heartbeats;
    co_return;
  }
  ++statistics_.heartbeats_failed;
  if (!background_.is_closing())
    log_.warn("heartbeat_failed", {{"reason", beaten.error().reason}, {"detail", beaten.error().detail}});
}

boost::asio::awaitable<bool> upkeep::keep_partitions() {
  auto made = co_await repository_.ensure_partitions(async::within(patience));
  if (made.has_error()) {
    if (!background_.is_closing())
      log_.warn("partitions_not_checked", {{"reason", made.error().reason}, {"detail", made.error().detail}});
    co_return false;
  }
  if (*made > 0) {
    statistics_.partitions_made += static_cast<std::uint64_t>(*made);
    log_.warn("partitions_made", {{"count", *made}}, "partitions were missing: does maintenance run?");
  }
  co_return true;
}

boost::asio::awaitable<void> upkeep::look() {
  auto supplies = co_await repository_.supplies(auth::clock_now(), async::within(patience));
  if (supplies.has_error()) co_return;  // the heartbeat has said that the database is away
  for (const auth::partition_supply& each : *supplies)
    set(upkeep_statistics::tables, statistics_.ahead, each.table, each.has_current ? each.ahead : -1);
  auto steps = co_await repository_.steps(auth::clock_now(), async::within(patience));
  if (steps.has_error()) co_return;
  std::int64_t youngest = -1;
  std::int64_t failed = 0;
  for (const auth::maintenance_step& each : *steps) {
    if (!each.is_done) ++failed;
    if (each.name == "round") youngest = each.age_seconds;
    if (each.name.starts_with("refresh:"))
      set(upkeep_statistics::reports, statistics_.report_age_seconds, each.name.substr(8), each.age_seconds);
  }
  statistics_.maintenance_age_seconds = youngest;
  statistics_.maintenance_failed_steps = failed;
}

std::string readiness_notes(const upkeep_statistics& seen) {
  std::string notes;
  if (seen.heartbeats == 0) return notes;
  for (std::size_t i = 0; i < seen.ahead.size(); ++i) {
    if (seen.ahead[i] > 0) continue;
    notes += "note: the table " + std::string{upkeep_statistics::tables[i]} +
             " lacks its current or next partition; run pam-auth maintain\n";
  }
  if (seen.maintenance_failed_steps > 0)
    notes += "note: " + std::to_string(seen.maintenance_failed_steps) +
             " steps of maintenance failed; see pam-auth maintain --dry-run\n";
  return notes;
}

void write_upkeep(metrics_writer& out, const upkeep_statistics& seen) {
  const auto known = [](const std::atomic<std::int64_t>& value) {
    return value.load(std::memory_order_relaxed);
  };
  for (std::size_t i = 0; i < seen.ahead.size(); ++i)
    out.gauge("pam_partitions_ahead",
              "Partitions ready after the current one; below 1 soon nobody can sign in, -1: unknown or the "
              "current one is missing.",
              known(seen.ahead[i]), {{"table", upkeep_statistics::tables[i]}});
  for (std::size_t i = 0; i < seen.report_age_seconds.size(); ++i)
    out.gauge("pam_report_age_seconds", "Since a report was last refreshed; -1: never.",
              known(seen.report_age_seconds[i]), {{"report", upkeep_statistics::reports[i]}});
  out.gauge("pam_maintenance_age_seconds", "Since the last round of maintenance ended; -1: never.",
            known(seen.maintenance_age_seconds));
  out.gauge("pam_maintenance_failed_steps", "Steps of maintenance whose last run failed; -1: unknown.",
            known(seen.maintenance_failed_steps));
  out.counter("pam_partitions_made_total", "Partitions this process had to make because maintenance had not.",
              seen.partitions_made.load());
  out.counter("pam_heartbeats_total", "Heartbeats written.", seen.heartbeats.load());
  out.counter("pam_heartbeats_failed_total", "Heartbeats that could not be written.",
              seen.heartbeats_failed.load());
}

}  // namespace pam::runtime
