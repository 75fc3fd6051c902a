#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <system_error>

#include "server/runtime/internal_service.hpp"

namespace pam::runtime {
namespace {

template <class Read>
std::uint64_t sum_over(const std::vector<std::unique_ptr<shard>>& shards, Read read) {
  std::uint64_t total = 0;
  for (const auto& each : shards) total += read(*each);
  return total;
}

std::uint64_t load(const std::atomic<std::uint64_t>& counter) {
  return counter.load(std::memory_order_relaxed);
}

void write_requests(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  constexpr std::array<std::string_view, 6> classes{"lost", "1xx", "2xx", "3xx", "4xx", "5xx"};
  if (shards.empty()) return;
  for (const auto& [pattern, unused] : shards.front()->requests().routes()) {
    const std::string_view route = pattern.empty() ? std::string_view{"unmatched"} : pattern;
    histogram_snapshot latency;
    std::array<std::uint64_t, 6> counts{};
    for (const auto& each : shards) {
      const route_statistics& seen = each->requests().routes().at(pattern);
      latency += seen.latency.snapshot();
      for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += load(seen.by_class[i]);
    }
    for (std::size_t i = 0; i < counts.size(); ++i) {
      if (counts[i] == 0) continue;
      out.counter("pam_http_requests_total", "Requests answered, by route and status class.", counts[i],
                  {{"route", route}, {"status", classes[i]}});
    }
    if (latency.count() == 0) continue;
    out.histogram("pam_http_request_duration_seconds",
                  "From the first byte of a request to its answer's last.", latency, {{"route", route}});
  }
}

void write_parts(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  for (std::size_t part = 0; part < request_parts.size(); ++part) {
    histogram_snapshot times;
    for (const auto& each : shards) times += each->requests().parts()[part].snapshot();
    out.histogram("pam_http_request_part_seconds",
                  "What requests waited for and worked on; those without such a part do not count.", times,
                  {{"part", request_parts[part]}});
  }
}

void write_traces(metrics_writer& out, const std::optional<trace_exporter>& traces) {
  if (!traces) return;
  const trace_exporter::statistics& seen = traces->stats();
  out.counter("pam_traces_exported_total", "Spans the collector took.", load(seen.exported));
  constexpr std::string_view help = "Spans nobody got: they did not fit, or the collector did not take them.";
  out.counter("pam_traces_dropped_total", help, load(seen.dropped_queue_full), {{"reason", "queue_full"}});
  out.counter("pam_traces_dropped_total", help, load(seen.dropped_refused), {{"reason", "refused"}});
}

void write_breaches(metrics_writer& out, const breach_client* breaches) {
  if (breaches == nullptr) return;
  const breach_statistics& seen = breaches->stats();
  constexpr std::string_view help = "Passwords held against known breaches; unanswered ones were allowed.";
  out.counter("pam_breach_checks_total", help, load(seen.clean), {{"outcome", "clean"}});
  out.counter("pam_breach_checks_total", help, load(seen.stolen), {{"outcome", "stolen"}});
  out.counter("pam_breach_checks_total", help, load(seen.unanswered), {{"outcome", "unanswered"}});
  out.counter("pam_breach_cache_hits_total", "Of them, answered without asking.", load(seen.cached));
}

void write_connections(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  struct row {
    std::string_view name;
    std::string_view help;
    std::atomic<std::uint64_t> net::net_statistics::* counter;
    bool is_gauge;
  };
  static constexpr std::array rows{
      row{"pam_net_connections_open", "Connections now.", &net::net_statistics::open, true},
      row{"pam_net_requests_in_flight", "Requests being answered now.", &net::net_statistics::in_flight,
          true},
      row{"pam_net_connections_accepted_total", "Connections accepted.", &net::net_statistics::accepted,
          false},
      row{"pam_net_handshakes_total", "TLS handshakes completed.", &net::net_statistics::handshakes, false},
      row{"pam_net_handshakes_failed_total", "TLS handshakes that failed.",
          &net::net_statistics::handshakes_failed, false},
      row{"pam_net_requests_total", "Complete requests read.", &net::net_statistics::requests, false},
      row{"pam_net_refused_malformed_total", "Requests refused as malformed.",
          &net::net_statistics::refused_malformed, false},
      row{"pam_net_refused_too_large_total", "Requests refused for their size.",
          &net::net_statistics::refused_too_large, false},
      row{"pam_net_refused_memory_total", "Requests refused because incomplete ones held too much memory.",
          &net::net_statistics::refused_memory, false},
      row{"pam_net_refused_proxy_header_total", "Connections refused for a missing or wrong PROXY header.",
          &net::net_statistics::refused_proxy_header, false},
      row{"pam_net_hidden_clients_total", "Requests whose forwarding header named no client address.",
          &net::net_statistics::hidden_clients, false},
      row{"pam_net_timed_out_proxy_header_total", "Connections cut in a PROXY header.",
          &net::net_statistics::timed_out_proxy_header, false},
      row{"pam_net_timed_out_handshake_total", "Connections cut in the handshake.",
          &net::net_statistics::timed_out_handshake, false},
      row{"pam_net_timed_out_header_total", "Connections cut in a request's header.",
          &net::net_statistics::timed_out_header, false},
      row{"pam_net_timed_out_body_total", "Connections cut in a request's body.",
          &net::net_statistics::timed_out_body, false},
      row{"pam_net_timed_out_write_total", "Connections cut because the peer did not read.",
          &net::net_statistics::timed_out_write, false},
      row{"pam_net_handler_exceptions_total", "Handlers that ended with an exception: our bugs.",
          &net::net_statistics::handler_exceptions, false},
      row{"pam_net_idle_closed_total", "Idle connections closed after their keep-alive time.",
          &net::net_statistics::idle_closed, false},
      row{"pam_net_accept_paused_total", "Times accepting stopped at a limit.",
          &net::net_statistics::accept_paused, false},
      row{"pam_net_connections_shed_total", "Connections reset because limits.connections were open.",
          &net::net_statistics::shed, false},
      row{"pam_net_connections_left_total", "Connections whose client left before they were accepted.",
          &net::net_statistics::left_waiting, false},
      row{"pam_net_received_bytes_total", "Bytes read from clients.", &net::net_statistics::bytes_in, false},
      row{"pam_net_sent_bytes_total", "Bytes written to clients.", &net::net_statistics::bytes_out, false}};
  for (const row& each : rows) {
    const std::uint64_t value =
        sum_over(shards, [&](const shard& of) { return load(of.http().stats().*each.counter); });
    if (each.is_gauge) {
      out.gauge(each.name, each.help, value);
    } else {
      out.counter(each.name, each.help, value);
    }
  }
}

void write_database(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  struct row {
    std::string_view name;
    std::string_view help;
    std::uint64_t db::statistics::* member;
    bool is_gauge;
  };
  static constexpr std::array rows{
      row{"pam_db_statements_total", "Statements sent, repeats included.", &db::statistics::statements_sent,
          false},
      row{"pam_db_statements_executed_total", "Statements completed with rows.",
          &db::statistics::statements_executed, false},
      row{"pam_db_statements_failed_total", "Statements completed with an error.",
          &db::statistics::statements_failed, false},
      row{"pam_db_statements_resent_total", "Statements sent again after their batch failed.",
          &db::statistics::statements_resent, false},
      row{"pam_db_statements_together_total", "Statements sent as one with others of their batch.",
          &db::statistics::statements_together, false},
      row{"pam_db_batches_total", "Batches sent: one Sync, one commit each.", &db::statistics::batches,
          false},
      row{"pam_db_rejected_queue_full_total", "Statements refused because a queue was full.",
          &db::statistics::rejected_queue_full, false},
      row{"pam_db_expired_total", "Statements whose deadline passed.", &db::statistics::expired, false},
      row{"pam_db_data_errors_total", "Data errors in shared batches: our bugs.",
          &db::statistics::data_errors, false},
      row{"pam_db_connects_total", "Connections made.", &db::statistics::connects, false},
      row{"pam_db_disconnects_total", "Connections lost or dropped.", &db::statistics::disconnects, false},
      row{"pam_db_replica_reads_total", "Reads answered by a replica.", &db::statistics::replica_reads,
          false},
      row{"pam_db_replica_fallbacks_total",
          "Reads that might have been a replica's, answered by the primary.",
          &db::statistics::replica_fallbacks, false},
      row{"pam_db_replica_waits_total", "Reads that waited for a replica to get as far as they needed.",
          &db::statistics::replica_waits, false},
      row{"pam_db_replica_ejections_total",
          "Replicas put out of use: behind, silent, or not of this primary.",
          &db::statistics::replica_ejections, false},
      row{"pam_db_replicas_admitted", "Replicas in use now, summed over the shards.",
          &db::statistics::replicas_admitted, true},
      row{"pam_db_queued", "Statements waiting for a pipeline now.", &db::statistics::queued, true},
      row{"pam_db_in_flight", "Statements sent and unanswered now.", &db::statistics::in_flight, true},
      row{"pam_db_connections_ready", "Pipelined connections serving now.",
          &db::statistics::connections_ready, true},
      row{"pam_db_leases_in_use", "Exclusive connections lent now.", &db::statistics::leases_in_use, true},
      row{"pam_db_lease_waiters", "Callers waiting for an exclusive connection now.",
          &db::statistics::lease_waiters, true}};
  std::vector<db::statistics> all;
  all.reserve(shards.size());
  for (const auto& each : shards) all.push_back(each->database().stats());
  for (const row& each : rows) {
    std::uint64_t value = 0;
    for (const db::statistics& of : all) value += of.*each.member;
    if (each.is_gauge) {
      out.gauge(each.name, each.help, value);
    } else {
      out.counter(each.name, each.help, value);
    }
  }
}

void write_refreshes(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  struct row {
    std::string_view outcome;
    std::atomic<std::uint64_t> auth::session_statistics::* counter;
  };
  static constexpr std::array rows{row{"rotated", &auth::session_statistics::rotated},
                                   row{"repeated", &auth::session_statistics::repeated},
                                   row{"repeated_counted", &auth::session_statistics::repeated_counted},
                                   row{"resynced", &auth::session_statistics::resynced},
                                   row{"not_genuine", &auth::session_statistics::not_genuine},
                                   row{"unproven_salt", &auth::session_statistics::unproven_salt},
                                   row{"reused", &auth::session_statistics::reused}};
  for (const row& each : rows) {
    out.counter("pam_auth_refreshes_total",
                "Refresh tokens judged, by outcome. unproven_salt above 0: a refresh key may be out.",
                sum_over(shards, [&](const shard& of) { return load(of.sessions().stats().*each.counter); }),
                {{"outcome", each.outcome}});
  }
}

void write_accounts(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  out.counter("pam_auth_unusable_hashes_total",
              "Sign-ins that met a stored hash nobody can verify: a bad import.",
              sum_over(shards, [](const shard& of) { return load(of.accounts().stats().unusable_hashes); }));
  out.counter("pam_auth_failures_total", "Failed sign-ins, of known and unknown subjects.",
              sum_over(shards, [](const shard& of) { return load(of.accounts().stats().failures); }));
  out.counter("pam_audit_left_out_total",
              "Events the audit log did not take: failures past their sample, or a database that was away.",
              sum_over(shards, [](const shard& of) {
                return load(of.accounts().stats().unlogged_failures) + load(of.sessions().stats().unlogged);
              }));
  out.counter(
      "pam_auth_uncounted_failures_total", "Failed sign-ins whose count could not be written.",
      sum_over(shards, [](const shard& of) { return load(of.accounts().stats().uncounted_failures); }));
}

void write_limits(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  const auto addresses = [&](auto member) {
    return sum_over(shards, [&](const shard& of) { return load(of.application().addresses().*member); });
  };
  const auto attempts = [&](auto member) {
    return sum_over(shards, [&](const shard& of) { return load(of.accounts().stats().*member); });
  };
  const auto verified = [&](auto member) {
    return sum_over(shards,
                    [&](const shard& of) { return load(of.application().verified().stats().*member); });
  };
  constexpr std::string_view looked = "Access tokens looked up among those verified before.";
  out.counter("pam_auth_verified_tokens_total", looked, verified(&auth::verified_tokens::statistics::known),
              {{"outcome", "known"}});
  out.counter("pam_auth_verified_tokens_total", looked, verified(&auth::verified_tokens::statistics::unknown),
              {{"outcome", "new"}});
  constexpr std::string_view limited = "Requests answered 429, by the limit they met.";
  out.counter("pam_rate_limited_total", limited, addresses(&api::address_statistics::limited),
              {{"limit", "address"}});
  out.counter("pam_rate_limited_total", limited, addresses(&api::address_statistics::unfair),
              {{"limit", "hash_share"}});
  out.counter("pam_rate_limited_total", limited, attempts(&auth::account_statistics::rate_limited),
              {{"limit", "subject"}});
  out.counter("pam_rate_limit_forgotten_total",
              "Addresses forgotten while they were limited: the table is full.",
              addresses(&api::address_statistics::forgotten));
  out.counter("pam_auth_unjudged_attempts_total",
              "Sign-ins whose password was not looked at: too many failures before them.",
              attempts(&auth::account_statistics::unjudged));
  out.counter("pam_auth_known_device_sign_ins_total", "Sign-ins from a known device.",
              attempts(&auth::account_statistics::known_devices));
}

void write_admission(metrics_writer& out, const std::vector<std::unique_ptr<shard>>& shards) {
  for (std::size_t i = 0; i < net::cost_classes; ++i) {
    const auto of = static_cast<net::cost_class>(i);
    const std::string_view name = net::to_string(of);
    out.gauge(
        "pam_admission_in_flight", "Requests admitted and unanswered now, by cost class.",
        sum_over(shards, [&](const shard& each) { return load(each.application().admission(of).in_flight); }),
        {{"class", name}});
    out.gauge(
        "pam_admission_limit", "Requests that may be at work now, by cost class.",
        sum_over(shards, [&](const shard& each) { return load(each.application().admission(of).limit); }),
        {{"class", name}});
    out.counter(
        "pam_admission_refused_total", "Requests refused at admission, by cost class.",
        sum_over(shards, [&](const shard& each) { return load(each.application().admission(of).refused); }),
        {{"class", name}});
  }
}

void write_hashing(metrics_writer& out, const crypto::hash_pool& hashes) {
  const crypto::hash_pool_statistics seen = hashes.stats();
  constexpr double microseconds_per_second = 1e6;
  out.counter("pam_hash_jobs_total", "Password hashes computed.", seen.hashed);
  out.counter("pam_hash_refused_total", "Hash jobs refused.", seen.refused_queue_full,
              {{"reason", "queue_full"}});
  out.counter("pam_hash_refused_total", "Hash jobs refused.", seen.refused_deadline,
              {{"reason", "deadline"}});
  out.gauge("pam_hash_queued", "Hash jobs waiting now.", seen.queued);
  out.gauge("pam_hash_running", "Hash jobs running now.", seen.running);
  out.counter("pam_hash_busy_seconds_total", "Time spent hashing, all threads.",
              static_cast<double>(seen.busy_microseconds) / microseconds_per_second);
  out.counter("pam_hash_waited_seconds_total", "Time hash jobs waited.",
              static_cast<double>(seen.waited_microseconds) / microseconds_per_second);
}

// From Linux 6.2 on the folder's size is the count. Walking 19,000 entries costs 20 ms of a core, which every
// scrape of a busy server would pay.
std::optional<std::uint64_t> open_descriptors() {
  struct stat folder{};
  if (::stat("/proc/self/fd", &folder) != 0) return std::nullopt;
  if (folder.st_size > 0) return static_cast<std::uint64_t>(folder.st_size);
  std::error_code failure;
  std::uint64_t count = 0;
  for (std::filesystem::directory_iterator at{"/proc/self/fd", failure}, end; !failure && at != end;
       at.increment(failure)) {
    ++count;
  }
  if (failure) return std::nullopt;
  return count;
}

void write_process(metrics_writer& out) {
  struct rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  out.counter("process_cpu_seconds_total", "User and system CPU time.",
              seconds(used.ru_utime) + seconds(used.ru_stime));
  std::ifstream statm{"/proc/self/statm"};
  std::uint64_t total_pages = 0;
  std::uint64_t resident_pages = 0;
  if (statm >> total_pages >> resident_pages) {
    out.gauge("process_resident_memory_bytes", "Resident memory.",
              resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)));
  }
  if (const auto count = open_descriptors()) out.gauge("process_open_fds", "Open file descriptors.", *count);
  struct rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    out.gauge("process_max_fds", "Limit of open file descriptors.",
              static_cast<std::uint64_t>(limit.rlim_cur));
  }
}

}  // namespace

std::string render_metrics(const std::vector<std::unique_ptr<shard>>& shards, const crypto::hash_pool& hashes,
                           const logger& log, const observation& observed,
                           const net::net_statistics& internal) {
  metrics_writer out;
  write_requests(out, shards);
  write_parts(out, shards);
  write_connections(out, shards);
  out.counter("pam_internal_connections_shed_total",
              "Connections of the internal port reset because as many as it serves were open.",
              load(internal.shed));
  write_admission(out, shards);
  write_database(out, shards);
  write_refreshes(out, shards);
  write_accounts(out, shards);
  write_limits(out, shards);
  if (!shards.empty() && shards.front()->upkeep() != nullptr)
    write_upkeep(out, shards.front()->upkeep()->stats());
  out.counter("pam_log_lines_lost_total", "Log lines that could not be written.", log.lost());
  write_hashing(out, hashes);
  write_traces(out, observed.traces);
  write_breaches(out, observed.breaches.get());
  write_process(out);
  return out.take();
}

}  // namespace pam::runtime
