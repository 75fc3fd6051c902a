// PostgreSQL: version, durability, clock, replicas, partitions, and what the role that serves gets.
#include <algorithm>
#include <array>
#include <cmath>

#include "server/cli/check/judge.hpp"
#include "server/cli/check/settings.hpp"

namespace pam::cli::check {

namespace {

using std::chrono::sys_days;
using std::chrono::year_month_day;

/// The last day a major version gets fixes (postgresql.org, Versioning Policy).
struct end_of_life {
  int major;
  year_month_day day;
};
using namespace std::chrono_literals;
constexpr std::array ends{
    end_of_life{13, year_month_day{2025y / 11 / 13}}, end_of_life{14, year_month_day{2026y / 11 / 12}},
    end_of_life{15, year_month_day{2027y / 11 / 11}}, end_of_life{16, year_month_day{2028y / 11 / 9}},
    end_of_life{17, year_month_day{2029y / 11 / 8}},  end_of_life{18, year_month_day{2030y / 11 / 14}}};
constexpr int oldest_major = 14;

std::string date(const year_month_day& day) {
  const auto two = [](unsigned value) { return (value < 10 ? "0" : "") + std::to_string(value); };
  return std::to_string(int{day.year()}) + "-" + two(unsigned{day.month()}) + "-" + two(unsigned{day.day()});
}

void judge_version(const facts& all, findings& out) {
  const int major = all.postgres.version / 10'000;
  const std::string name =
      "PostgreSQL " + std::to_string(major) + "." + std::to_string(all.postgres.version % 100);
  if (major < oldest_major) {
    out.push_back({severity::danger, "postgres.version", name + " lacks what our statements need",
                   "upgrade to a supported version, 15 or newer"});
    return;
  }
  const auto known = std::ranges::find(ends, major, &end_of_life::major);
  if (known == ends.end()) {
    out.push_back({severity::ok, "postgres.version", name, ""});
  } else if (all.today > sys_days{known->day}) {
    out.push_back({severity::warning, "postgres.version",
                   name + " gets no fixes any more, since " + date(known->day), "upgrade the major version"});
  } else if (all.today > sys_days{known->day} - std::chrono::days{180}) {
    out.push_back({severity::note, "postgres.version", name + " gets fixes until " + date(known->day),
                   "plan the upgrade of the major version"});
  } else {
    out.push_back({severity::ok, "postgres.version", name + ", fixes until " + date(known->day), ""});
  }
}

void judge_durability(const setting_map& settings, findings& out) {
  const std::size_t before = out.size();
  if (is_value(settings, "fsync", "off")) {
    out.push_back({severity::danger, "postgres.fsync",
                   "fsync = off: a crash of the machine destroys the database, not only the last moments",
                   "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()"});
  }
  if (is_value(settings, "full_page_writes", "off")) {
    out.push_back({severity::danger, "postgres.full_page_writes",
                   "full_page_writes = off: a crash in the middle of a write leaves torn pages",
                   "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()"});
  }
  const std::string commit = shown(settings, "synchronous_commit").value_or("on");
  if (commit == "off") {
    out.push_back({severity::danger, "postgres.synchronous_commit",
                   "synchronous_commit = off: acknowledged sign-ups and revocations are lost in a crash",
                   "ALTER SYSTEM SET synchronous_commit = on; batches make it cheap"});
  } else if (commit == "local" && !shown(settings, "synchronous_standby_names").value_or("").empty()) {
    out.push_back({severity::warning, "postgres.synchronous_commit",
                   "synchronous_commit = local: the synchronous standbys are not waited for",
                   "ALTER SYSTEM SET synchronous_commit = on"});
  }
  if (out.size() == before && shown(settings, "fsync")) {
    out.push_back({severity::ok, "postgres.durability", "what is acknowledged is on disk", ""});
  }
}

void judge_clock(const postgres_facts& server, findings& out) {
  const double skew = std::abs(server.clock_skew_seconds);
  const std::string text = "its clock is " + plain(std::round(skew * 1000) / 1000) + " s " +
                           (server.clock_skew_seconds < 0 ? "behind" : "ahead of") + " ours";
  if (skew <= 1) {
    out.push_back({severity::ok, "postgres.clock", text, ""});
    return;
  }
  out.push_back({skew > 30 ? severity::danger : severity::warning, "postgres.clock",
                 text + ": sessions end early or late, and codes and tokens are refused",
                 "synchronise both clocks (chrony or systemd-timesyncd)"});
}

void judge_extensions(const facts& all, findings& out) {
  const auto has = [&](std::string_view name) {
    return std::ranges::find(all.postgres.extensions, name) != all.postgres.extensions.end();
  };
  if (!has("pg_stat_statements")) {
    out.push_back(
        {severity::note, "postgres.pg_stat_statements",
         "pg_stat_statements is not installed: nobody can say which statement costs what",
         "shared_preload_libraries = 'pg_stat_statements', restart, CREATE EXTENSION pg_stat_statements"});
  }
  if (!has("citus")) return;
  out.push_back({severity::note, "postgres.citus",
                 "Citus: a batch is not atomic there, so none is sent again as a whole", ""});
  if (is_value(all.route.settings, "plan_cache_mode", "force_generic_plan")) {
    out.push_back({severity::danger, "postgres.plan_cache_mode",
                   "plan_cache_mode = force_generic_plan with Citus: statements fail with"
                   " \"could not create distributed plan\"",
                   "ALTER ROLE " + all.own.user + " SET plan_cache_mode = 'auto'"});
  }
}

void judge_schema(const postgres_facts& server, findings& out) {
  if (!server.has_schema) {
    out.push_back({severity::danger, "postgres.schema",
                   "the tables of PAM Auth are not there, or not those of this version",
                   "pam-auth migrate up --config FILE"});
    return;
  }
  bool is_fine = true;
  for (const partitioned_table& table : server.partitions) {
    const std::string unit = table.span == "day" ? " day(s)" : " month(s)";
    if (!table.has_current) {
      is_fine = false;
      out.push_back({severity::danger, "postgres.partitions",
                     table.name + " has no partition for this moment: its rows are refused",
                     "SELECT ensure_partitions('" + table.name + "')"});
    } else if (table.ahead < 2) {
      is_fine = false;
      out.push_back({severity::warning, "postgres.partitions",
                     table.name + " has partitions for only " + std::to_string(table.ahead) + unit + " ahead",
                     "run the maintenance job, and look why it did not run"});
    }
    if (table.is_detach_pending) {
      is_fine = false;
      out.push_back({severity::warning, "postgres.partitions",
                     table.name + " has a partition whose detaching was interrupted",
                     "ALTER TABLE " + table.name + " DETACH PARTITION ... FINALIZE"});
    }
  }
  if (is_fine) {
    out.push_back({severity::ok, "postgres.schema",
                   "the tables are there, " + std::to_string(server.partitions.size()) +
                       " partitioned ones with partitions ahead",
                   ""});
  }
  for (const std::string& name : server.invalid_indexes) {
    out.push_back({severity::warning, "postgres.index",
                   "the index " + name + " is INVALID: it costs every write and serves no read",
                   "DROP INDEX CONCURRENTLY " + name + ", then build it again"});
  }
}

void judge_age(const postgres_facts& server, findings& out) {
  constexpr std::int64_t million = 1'000'000;
  const std::int64_t age = server.oldest_transaction_age;
  if (age < 500 * million) return;
  out.push_back({age > 1'500 * million ? severity::danger : severity::warning, "postgres.wraparound",
                 "the oldest transaction is " + std::to_string(age / million) +
                     " million old; at 2,147 million the server stops taking writes",
                 "find what holds vacuum back (old transactions, slots), then VACUUM FREEZE"});
}

}  // namespace

void judge_replication(const postgres_facts& server, findings& out) {
  constexpr std::int64_t mebibyte = 1024 * 1024;
  for (const replica& one : server.replicas) {
    const std::string subject = "replica." + one.name;
    if (one.state.empty()) {
      out.push_back({severity::note, subject, "its state is hidden from the role of [migrate]",
                     "GRANT pg_monitor TO that role"});
    } else if (one.state != "streaming") {
      out.push_back({severity::warning, subject, "is " + one.state + ", not streaming",
                     "wait for it to catch up; a failover to it would lose what it lacks"});
    } else if (one.lag_seconds > 1 || one.lag_bytes > 16 * mebibyte) {
      out.push_back({severity::warning, subject,
                     "is " + plain(std::round(one.lag_seconds * 10) / 10) + " s and " +
                         std::to_string(one.lag_bytes / mebibyte) + " MiB behind: no read is sent to it",
                     "look at its disk, its network and long queries on it"});
    } else {
      out.push_back({severity::ok, subject, "streams and keeps up", ""});
    }
  }
  for (const replication_slot& slot : server.slots) {
    const std::string subject = "slot." + slot.name;
    if (slot.wal_status == "lost") {
      out.push_back({severity::danger, subject,
                     "has lost WAL its consumer needs: that replica is out of date for good",
                     "rebuild the replica, then SELECT pg_drop_replication_slot('" + slot.name + "')"});
    } else if (!slot.is_active && slot.retained_bytes > 2'048 * mebibyte) {
      out.push_back({severity::danger, subject,
                     "nobody reads it and it keeps " + std::to_string(slot.retained_bytes / mebibyte) +
                         " MiB of WAL: the disk fills up",
                     "start its consumer, or SELECT pg_drop_replication_slot('" + slot.name + "')"});
    } else if (!slot.is_active || slot.wal_status == "unreserved") {
      out.push_back({severity::warning, subject, "nobody reads it: WAL is kept until somebody does",
                     "start its consumer or drop the slot"});
    }
  }
}

void judge_role(const facts& all, findings& out) {
  const setting_map& settings = all.route.settings;
  const std::string alter = "ALTER ROLE " + all.own.user + " SET ";
  if (all.route.is_superuser) {
    out.push_back({severity::danger, "role.rights",
                   all.own.user + " is a superuser: a flaw in the server would be one in the whole database",
                   "serve as pam_app, which the migrations make"});
  }
  if (all.route.is_read_only) {
    out.push_back({severity::danger, "role.read_only",
                   "the route leads to a standby or to a role that may not write",
                   "point [database] at the primary; default_transaction_read_only = off"});
  }
  const std::size_t before = out.size();
  const double lock = number(settings, "lock_timeout").value_or(100);
  if (lock == 0 || lock > 1000) {
    out.push_back(
        {severity::warning, "role.lock_timeout",
         (lock == 0 ? std::string{"lock_timeout is off"} : "lock_timeout is " + plain(lock) + " ms") +
             ": one locked row holds everybody in its batch",
         alter + "lock_timeout = '100ms'"});
  }
  const double statement = number(settings, "statement_timeout").value_or(2000);
  if (statement == 0 || statement > static_cast<double>(all.own.request_limit.count())) {
    out.push_back(
        {severity::warning, "role.statement_timeout",
         (statement == 0 ? std::string{"statement_timeout is off"}
                         : "statement_timeout is " + plain(statement) + " ms, above limits.request") +
             ": statements run on for callers that are gone",
         alter + "statement_timeout = '2s'"});
  } else if (lock != 0 && statement <= lock) {
    out.push_back({severity::warning, "role.statement_timeout",
                   "statement_timeout (" + plain(statement) + " ms) ends statements before lock_timeout (" +
                       plain(lock) + " ms) can say what they waited for",
                   alter + "statement_timeout = '2s'"});
  }
  if (number(settings, "idle_in_transaction_session_timeout").value_or(5000) == 0) {
    out.push_back({severity::warning, "role.idle_in_transaction_session_timeout",
                   "idle_in_transaction_session_timeout is off: a lost client keeps its locks",
                   alter + "idle_in_transaction_session_timeout = '5s'"});
  }
  if (is_value(settings, "jit", "on")) {
    out.push_back({severity::note, "role.jit", "jit is on: it only costs time in statements as short as ours",
                   alter + "jit = off"});
  }
  if (is_value(settings, "synchronous_commit", "off") &&
      !is_value(all.postgres.settings, "synchronous_commit", "off")) {
    out.push_back(
        {severity::danger, "role.synchronous_commit",
         "synchronous_commit = off for " + all.own.user + ": acknowledged changes are lost in a crash",
         "ALTER ROLE " + all.own.user + " RESET synchronous_commit"});
  }
  if (out.size() == before && !settings.empty()) {
    out.push_back({severity::ok, "role.settings", "timeouts of " + all.own.user + " fit the server's", ""});
  }
}

void judge_postgres(const facts& all, findings& out) {
  const postgres_facts& server = all.postgres;
  if (!server.unreachable.empty()) {
    out.push_back({severity::danger, "postgres.route",
                   "the direct route of [migrate] does not work: " + server.unreachable,
                   "give migrate.host, port, user and password_file of PostgreSQL itself"});
    return;
  }
  if (server.is_standby) {
    out.push_back({severity::danger, "postgres.route", "the direct route of [migrate] leads to a standby",
                   "point [migrate] at the primary"});
  }
  for (const std::string& one : server.unanswered) {
    out.push_back({severity::note, "postgres.unanswered", "could not ask for " + one,
                   "let the role of [migrate] read it (GRANT pg_monitor)"});
  }
  judge_version(all, out);
  judge_durability(server.settings, out);
  judge_clock(server, out);
  judge_extensions(all, out);
  judge_schema(server, out);
  judge_age(server, out);
  judge_replication(server, out);
  if (is_value(server.settings, "autovacuum", "off")) {
    out.push_back({severity::danger, "postgres.autovacuum",
                   "autovacuum = off: sessions grow with every refresh, and the database stops in the end",
                   "ALTER SYSTEM SET autovacuum = on; SELECT pg_reload_conf()"});
  }
}

}  // namespace pam::cli::check
