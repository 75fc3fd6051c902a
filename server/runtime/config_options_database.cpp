#include "server/runtime/config_options.hpp"

#include <array>

#include "server/runtime/config_forms.hpp"

namespace pam::runtime {
namespace {

constexpr std::array<std::string_view, 6> sslmodes{"disable", "allow",     "prefer",
                                                   "require", "verify-ca", "verify-full"};

}  // namespace

void add_database(std::vector<option>& out, configuration& c) {
  db::config& d = c.database;
  out.insert(out.end(),
             {{.key = "database.hosts",
               .target = &d.hosts,
               .meaning = "Tried in order: \"host:port\", \"[::1]:5432\", or the directory of a Unix socket",
               .high = 16},
              {.key = "database.database",
               .target = &d.database,
               .meaning = "Database, or the pooler's alias of it",
               .form = &forms::word},
              {.key = "database.user",
               .target = &d.user,
               .meaning = "Role of the application",
               .form = &forms::word},
              {.key = "database.password",
               .target = &d.password,
               .meaning = "Its password; empty: peer, trust or a passfile. Prefer password_file",
               .mark = option_mark::secret},
              {.key = "database.password_file",
               .target = &c.database_password_file,
               .meaning = "File whose first line is the password, instead of database.password",
               .mark = option_mark::file},
              {.key = "database.sslmode",
               .target = &d.sslmode,
               .meaning = "TLS to the database, as in libpq",
               .choices = sslmodes},
              {.key = "database.sslrootcert",
               .target = &d.sslrootcert,
               .meaning = "PEM file of the authorities that verify-ca and verify-full trust",
               .mark = option_mark::file},
              {.key = "database.application_name",
               .target = &d.application_name,
               .meaning = "Name shown in pg_stat_activity",
               .form = &forms::word},
              {.key = "database.mode",
               .target = &d.mode,
               .meaning = "What stands in between: automatic learns it, else takes the safe mode"},
              {.key = "database.admin_database",
               .target = &d.admin_database,
               .meaning = "The pooler's console, asked for its version",
               .form = &forms::word}});
}

void add_pools(std::vector<option>& out, configuration& c) {
  db::config& d = c.database;
  const auto count = [&out](std::string_view key, std::size_t& target, std::int64_t low, std::int64_t high,
                            std::string_view meaning) {
    out.push_back({.key = key, .target = &target, .meaning = meaning, .low = low, .high = high});
  };
  const auto time = [&out](std::string_view key, std::chrono::milliseconds& target, std::int64_t low,
                           std::string_view meaning) {
    out.push_back({.key = key, .target = &target, .meaning = meaning, .low = low, .high = 5 * minute});
  };
  out.push_back({.key = "database.replicas",
                 .target = &d.replicas,
                 .meaning =
                     "Standbys that may answer reads, each by itself: like hosts, or \"alias@host:port\" "
                     "for a pooler's alias of one",
                 .high = 8});
  count("database.pipelines", d.pipelines, 1, 64, "Shared pipelined connections of one shard");
  count("database.leases", d.leases, 1, 64, "Exclusive connections of one shard, opened on demand");
  count("database.queue_limit", d.queue_limit, 1, 1'000'000, "Statements that wait for a pipeline");
  count("database.lease_queue_limit", d.lease_queue_limit, 1, 100'000, "Callers that wait for a lease");
  count("database.batch_limit", d.batch_limit, 1, 1'024, "Statements under one Sync");
  out.push_back({.key = "database.batch_bytes",
                 .target = &d.batch_bytes,
                 .meaning = "Parameter bytes under one Sync",
                 .low = kib,
                 .high = 16 * mib,
                 .mark = option_mark::bytes});
  count("database.batches_in_flight", d.batches_in_flight, 1, 64,
        "Batches on the way on one connection; always 1 in the safe mode");
  time("database.connect_timeout", d.connect_timeout, 100, "For one connection attempt");
  time("database.stall_limit", d.stall_limit, 100, "A pipeline whose head is older is replaced");
  time("database.heartbeat", d.heartbeat, 0, "Between looks at whether the primary is one; 0s: none");
  time("database.probe_interval", d.probe_interval, 10, "Between attempts while the database is down");
}

void add_migrate(std::vector<option>& out, configuration& c) {
  out.insert(out.end(), {{.key = "migrate.host",
                          .target = &c.migrate.host,
                          .meaning = "Host or directory of a Unix socket; empty: the first of database.hosts",
                          .form = &forms::host},
                         {.key = "migrate.port",
                          .target = &c.migrate.port,
                          .meaning = "PostgreSQL's own port",
                          .low = 1,
                          .high = 65'535},
                         {.key = "migrate.database",
                          .target = &c.migrate.database,
                          .meaning = "The database itself, not an alias",
                          .form = &forms::word},
                         {.key = "migrate.user",
                          .target = &c.migrate.user,
                          .meaning = "Owner of the schema",
                          .form = &forms::word},
                         {.key = "migrate.password",
                          .target = &c.migrate.password,
                          .meaning = "Its password; empty: peer, trust or a passfile. Prefer password_file",
                          .mark = option_mark::secret},
                         {.key = "migrate.password_file",
                          .target = &c.migrate.password_file,
                          .meaning = "File whose first line is the password, instead of migrate.password",
                          .mark = option_mark::file}});
}

void add_maintain(std::vector<option>& out, configuration& c) {
  constexpr std::int64_t ten_years = 3'650 * day;
  out.insert(out.end(),
             {{.key = "maintain.keep_sessions",
               .target = &c.maintain.keep_sessions,
               .meaning = "Sessions; never less than tokens.absolute_lifetime, whatever stands here",
               .low = day,
               .high = ten_years},
              {.key = "maintain.keep_events",
               .target = &c.maintain.keep_events,
               .meaning = "The audit log",
               .low = day,
               .high = ten_years},
              {.key = "maintain.keep_tokens",
               .target = &c.maintain.keep_tokens,
               .meaning = "One-time tokens: links and codes",
               .low = hour,
               .high = ten_years},
              {.key = "maintain.keep_flows",
               .target = &c.maintain.keep_flows,
               .meaning = "States of sign-ins that take several requests",
               .low = hour,
               .high = ten_years},
              {.key = "maintain.keep_outbox",
               .target = &c.maintain.keep_outbox,
               .meaning = "Messages nobody could deliver",
               .low = hour,
               .high = ten_years},
              {.key = "maintain.report_interval",
               .target = &c.maintain.report_interval,
               .meaning = "How old a report may become before it is refreshed",
               .low = minute,
               .high = 7 * day},
              {.key = "maintain.bloat_percent",
               .target = &c.maintain.bloat_percent,
               .meaning = "An index that wastes more of its size is built anew, concurrently",
               .low = 10,
               .high = 95},
              {.key = "maintain.bloat_bytes",
               .target = &c.maintain.bloat_bytes,
               .meaning = "Indexes smaller than this are left alone",
               .low = 0,
               .high = 1'024 * 1'024 * mib,
               .mark = option_mark::bytes},
              {.key = "maintain.step_limit",
               .target = &c.maintain.step_limit,
               .meaning = "Longest time of one statement of maintenance",
               .low = second,
               .high = day}});
}

}  // namespace pam::runtime
