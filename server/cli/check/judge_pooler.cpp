// What stands before PostgreSQL: the sum of the pools, PgBouncer's version, its settings, its other clients.
#include <algorithm>
#include <array>
#include <charconv>

#include "server/cli/check/judge.hpp"
#include "server/cli/check/settings.hpp"

namespace pam::cli::check {

namespace {

constexpr int tracks_pipelines = 1'021'000;

/// A limit of the entry in [databases], else of the whole pooler.
double limit_of(const pooler_facts& pooler, std::string_view in_entry, std::string_view in_config) {
  if (const auto own = number(pooler.entry, in_entry)) return *own;
  return number(pooler.settings, in_config).value_or(0);
}

std::string whole(double value) {
  return std::to_string(static_cast<long long>(value));
}

void judge_room_of_postgres(const facts& all, double wanted, const std::string& who, findings& out) {
  const setting_map& settings = all.postgres.settings;
  const auto most = number(settings, "max_connections");
  if (!most) return;
  const double reserved = number(settings, "superuser_reserved_connections").value_or(3) +
                          number(settings, "reserved_connections").value_or(0);
  const double room = *most - reserved;
  const std::string sum =
      "max_connections " + whole(*most) + " - " + whole(reserved) + " reserved = " + whole(room);
  if (wanted > room) {
    out.push_back({severity::danger, "pools.postgres",
                   who + " open up to " + whole(wanted) + ", PostgreSQL grants " + sum,
                   "lower the pools, or raise max_connections (a restart)"});
  } else if (wanted + static_cast<double>(all.postgres.connections) > room) {
    out.push_back({severity::warning, "pools.postgres",
                   who + " open up to " + whole(wanted) + ", others hold " +
                       std::to_string(all.postgres.connections) + " now, PostgreSQL grants " + sum,
                   "lower the pools, or limit the others (ALTER ROLE ... CONNECTION LIMIT)"});
  } else {
    out.push_back({severity::ok, "pools.postgres", who + " open up to " + whole(wanted) + " of " + sum, ""});
  }
}

void judge_room_of_pooler(const facts& all, findings& out) {
  const pooler_facts& pooler = all.pooler;
  const runtime::pool_shape& pools = all.own.pools;
  const auto sum = static_cast<double>(pools.sum());
  const auto peak = static_cast<double>(pools.peak());
  const double clients = number(pooler.settings, "max_client_conn").value_or(0);
  const double size = limit_of(pooler, "pool_size", "default_pool_size");
  const bool is_session =
      is_value(pooler.entry, "pool_mode", "session") ||
      (!shown(pooler.entry, "pool_mode") && is_value(pooler.settings, "pool_mode", "session"));
  const auto looked = static_cast<double>(pools.pooler_peak());
  if (clients > 0 && looked > clients) {
    out.push_back(
        {severity::danger, "pools.max_client_conn",
         runtime::pool_peak_text(pools) + ", with looks at the console " + whole(looked) +
             ", PgBouncer takes max_client_conn " + whole(clients) + ": the rest is refused",
         "raise max_client_conn to " + whole(looked) + ", or run fewer processes, shards or leases"});
  }
  if (size > 0 && is_session && sum <= size && peak > size) {
    out.push_back(
        {severity::danger, "pools.pool_size",
         runtime::pool_peak_text(pools) + ", PgBouncer has a pool of " + whole(size) +
             " in session mode: a successor never gets a turn",
         "raise pool_size to " + whole(peak) + ", or lower database.leases and database.pipelines"});
  } else if (size > 0 && sum > size) {
    out.push_back({is_session ? severity::danger : severity::warning, "pools.pool_size",
                   runtime::pool_sum_text(pools) + ", PgBouncer has a pool of " + whole(size) +
                       (is_session ? " in session mode: the rest never gets a turn"
                                   : ": the rest waits inside PgBouncer, out of our sight"),
                   "raise pool_size to " + whole(is_session ? peak : sum) +
                       " (2 to 4 a database core, at most 40), or lower"
                       " database.leases and database.pipelines"});
  } else if (size > 0) {
    out.push_back({severity::ok, "pools.pool_size",
                   runtime::pool_sum_text(pools) + ", PgBouncer has a pool of " + whole(size), ""});
  }
  const double most = limit_of(pooler, "max_connections", "max_db_connections");
  if (most > 0 && most < size) {
    out.push_back({severity::warning, "pools.max_db_connections",
                   "max_db_connections " + whole(most) + " is below the pool of " + whole(size) +
                       ": all users of the database share the smaller one",
                   "raise max_db_connections to " + whole(size) + " or more, or set it to 0"});
  }
  const double opened =
      (most > 0 ? std::min(most, size) : size) + number(pooler.settings, "reserve_pool_size").value_or(0);
  judge_room_of_postgres(all, opened, "PgBouncer's pool and its reserve", out);
  if (size > 40) {
    out.push_back({severity::note, "pools.pool_size",
                   "a pool of " + whole(size) + " is more than a primary makes use of",
                   "40 or less; measure"});
  }
}

struct known_flaw {
  int fixed_in;
  severity level;
  std::string_view text;
};
constexpr std::array flaws{
    known_flaw{1'024'001, severity::warning, "CVE-2025-2291 (expired passwords sign in through auth_query)"},
    known_flaw{1'025'001, severity::note,
               "CVE-2025-12819 (SQL through search_path, with track_extra_parameters)"},
    known_flaw{1'025'002, severity::note, "CVE-2026-6664 (a stranger can crash it), 6665, 6666, 6667"}};

void judge_version(const pooler_facts& pooler, findings& out) {
  const int version = pooler_version(pooler.version);
  const std::string name = "PgBouncer " + pooler.version;
  if (version < tracks_pipelines) {
    out.push_back(
        {severity::warning, "pooler.version",
         name + " cannot tell the answers of several batches apart: statements are unnamed and one batch"
                " at a time is in flight on a connection",
         "1.24.1 or newer: several times the throughput, and the leak is gone"});
  } else {
    out.push_back({severity::ok, "pooler.version", name + " tracks pipelines and names", ""});
  }
  std::string missing;
  severity level = severity::ok;
  for (const known_flaw& one : flaws) {
    if (version >= one.fixed_in) continue;
    missing += (missing.empty() ? "" : "; ") + std::string{one.text};
    level = std::max(level, one.level);
  }
  if (!missing.empty()) {
    out.push_back({level, "pooler.flaws", name + " has, unless your distribution repaired it: " + missing,
                   "upgrade, or read the package's changelog (apt changelog pgbouncer)"});
  }
}

// Named statements are planned once a connection, unless that is forbidden; unnamed ones each time, and a
// generic plan then considers every partition (docs/adr/0016).
void judge_planning(const facts& all, bool has_names, findings& out) {
  if (has_names && is_value(all.route.settings, "plan_cache_mode", "force_custom_plan")) {
    out.push_back({severity::warning, "route.plan_cache_mode",
                   "plan_cache_mode = force_custom_plan: every statement is planned each time, which takes"
                   " PostgreSQL longer than to carry it out",
                   "take it out of connect_query or the role: ALTER ROLE " + all.own.user +
                       " SET plan_cache_mode = 'force_generic_plan'"});
  } else if (!has_names && is_value(all.route.settings, "plan_cache_mode", "force_generic_plan")) {
    out.push_back(
        {severity::warning, "route.plan_cache_mode",
         "plan_cache_mode = force_generic_plan with unnamed statements: each considers every partition",
         "connect_query='SET plan_cache_mode = force_custom_plan' for " + all.own.database +
             " in pgbouncer.ini"});
  }
}

void judge_names(const facts& all, findings& out) {
  if (pooler_version(all.pooler.version) < tracks_pipelines) return;
  const double names = number(all.pooler.settings, "max_prepared_statements").value_or(0);
  const auto wanted = static_cast<double>(all.own.statements);
  if (names > wanted) {
    out.push_back({severity::ok, "pooler.max_prepared_statements",
                   "room for " + whole(names) + " names, we use " + whole(wanted), ""});
    return;
  }
  out.push_back(
      {severity::warning, "pooler.max_prepared_statements",
       (names == 0 ? std::string{"max_prepared_statements is 0"}
                   : "max_prepared_statements " + whole(names) + " is not above our " + whole(wanted)) +
           ": the slow, unnamed way is used",
       "max_prepared_statements = 500, then RELOAD"});
}

struct time_rule {
  std::string_view name;
  double usual;  ///< PgBouncer's default
  double least;  ///< 0 counts as endless where `least` is above 0
  double most;
  std::string_view why;
  std::string_view cure;
};
constexpr std::array time_rules{
    time_rule{"query_wait_timeout", 120, 0.5, 10,
              "callers wait for a server connection longer than a request lives", "query_wait_timeout = 5"},
    time_rule{"server_login_retry", 15, 0, 1, "so long every client gets an error after the primary was away",
              "server_login_retry = 0.2"},
    time_rule{"server_connect_timeout", 15, 0.5, 10, "a host that swallows packets holds everybody so long",
              "server_connect_timeout = 3"},
    time_rule{"server_check_delay", 30, 0, 30, "dead server connections are found that late",
              "server_check_delay = 5"},
};

void judge_times(const setting_map& settings, findings& out) {
  for (const time_rule& rule : time_rules) {
    const auto value = number(settings, rule.name);
    if (!value) continue;
    const std::string subject = "pooler." + std::string{rule.name};
    if (rule.least > 0 && *value == 0) {
      out.push_back({severity::warning, subject, std::string{rule.name} + " is off: " + std::string{rule.why},
                     std::string{rule.cure}});
    } else if (*value < rule.least) {
      out.push_back(
          {severity::warning, subject,
           std::string{rule.name} + " = " + plain(*value) + " s is so short that a busy moment cuts clients",
           std::string{rule.cure}});
    } else if (*value > rule.most) {
      out.push_back({severity::warning, subject,
                     std::string{rule.name} + " = " + plain(*value) + " s: " + std::string{rule.why},
                     std::string{rule.cure}});
    }
  }
  for (const std::string_view name : {"client_idle_timeout", "query_timeout", "transaction_timeout"}) {
    const double value = number(settings, name).value_or(0);
    if (value == 0) continue;
    out.push_back({name == "client_idle_timeout" ? severity::note : severity::warning,
                   "pooler." + std::string{name},
                   std::string{name} + " = " + plain(value) + " s cuts our connections behind our back",
                   std::string{name} + " = 0; the role's own timeouts end what runs too long"});
  }
}

void judge_mode(const pooler_facts& pooler, findings& out) {
  const std::string mode =
      shown(pooler.entry, "pool_mode").value_or(shown(pooler.settings, "pool_mode").value_or("transaction"));
  if (mode == "statement") {
    out.push_back({severity::danger, "pooler.pool_mode",
                   "statement mode refuses transactions of several statements", "pool_mode = transaction"});
  } else if (mode == "session") {
    out.push_back({severity::note, "pooler.pool_mode",
                   "session mode: each of our connections keeps one of the server's",
                   "pool_mode = transaction, unless this is wanted"});
  }
  for (const std::string_view state : {"paused", "disabled"}) {
    if (number(pooler.entry, state).value_or(0) == 0) continue;
    out.push_back({severity::danger, "pooler." + std::string{state},
                   "the database is " + std::string{state} + " in PgBouncer: nothing is served",
                   state == "paused" ? "RESUME in the admin console" : "ENABLE in the admin console"});
  }
}

void judge_strangers(const facts& all, findings& out) {
  if (all.pooler.strangers.empty()) return;
  const bool is_old = pooler_version(all.pooler.version) < tracks_pipelines;
  std::string names;
  for (const std::string& one : all.pooler.strangers) names += (names.empty() ? "" : ", ") + one;
  out.push_back(
      {is_old ? severity::danger : severity::note, "pooler.strangers",
       "others use (" + all.own.database + ", " + all.own.user + ") too: " + names +
           (is_old ? ": if one of them pipelines, it gets rows of our accounts, and we get its" : ""),
       "give each program a role of its own"});
}

}  // namespace

int pooler_version(std::string_view text) {
  std::array<int, 3> part{};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (std::size_t i = 0; i < part.size(); ++i) {
    const auto got = std::from_chars(at, end, part[i]);
    if (got.ec != std::errc{} || part[i] < 0 || part[i] > 999)
      return i < 2 ? 0 : part[0] * 1'000'000 + part[1] * 1000;
    at = got.ptr;
    if (i + 1 == part.size()) break;
    if (at == end || *at != '.') return i == 0 ? 0 : part[0] * 1'000'000 + part[1] * 1000;
    ++at;
  }
  return part[0] * 1'000'000 + part[1] * 1000 + part[2];
}

void judge_pools(const facts& all, findings& out) {
  if (!all.route.unreachable.empty()) return;
  if (all.route.is_direct) {
    const runtime::pool_shape& pools = all.own.pools;
    judge_room_of_postgres(all, static_cast<double>(pools.peak() + runtime::command_connections),
                           runtime::pool_peak_text(pools) + ": they and commands", out);
  } else if (!all.pooler.version.empty()) {
    judge_room_of_pooler(all, out);
  }
}

void judge_queue(const facts& all, findings& out) {
  const auto shortfall = runtime::judge_queue(all.own.queue);
  if (!shortfall) return;
  out.push_back({severity::warning, "database.queue_limit",
                 shortfall->text + ": in an overload some are refused after work was done for them",
                 shortfall->cure});
}

void judge_pooler(const facts& all, findings& out) {
  if (!all.route.unreachable.empty()) {
    out.push_back({severity::danger, "route",
                   "the route of [database] does not work: " + all.route.unreachable,
                   "look whether PgBouncer runs, knows the database and lets " + all.own.user + " in"});
    return;
  }
  if (!all.own.is_local && all.own.sslmode != "verify-full") {
    out.push_back({severity::warning, "route.tls",
                   all.route.is_tls
                       ? "the server's certificate is not checked: whoever stands in between reads everything"
                       : "passwords' hashes and tokens' hashes cross the network in the clear",
                   "database.sslmode = \"verify-full\" with database.sslrootcert"});
  }
  if (all.route.is_direct) {
    out.push_back({severity::ok, "route", "leads to PostgreSQL directly, named statements", ""});
    judge_planning(all, true, out);
    return;
  }
  if (all.pooler.version.empty()) {
    out.push_back({severity::warning, "pooler.console",
                   "a pooler stands in between and its console does not say what it is (" +
                       all.pooler.refused + "): the safe, slow mode is used",
                   "stats_users = " + all.own.user + " in pgbouncer.ini, then RELOAD"});
    return;
  }
  judge_version(all.pooler, out);
  judge_names(all, out);
  judge_planning(all, pooler_version(all.pooler.version) >= tracks_pipelines, out);
  judge_mode(all.pooler, out);
  judge_times(all.pooler.settings, out);
  judge_strangers(all, out);
}

}  // namespace pam::cli::check
