#include <functional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/check/judge.hpp"
#include "server/cli/tests/repository_file.hpp"

namespace pam::cli::check {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::StartsWith;

/// Everything as docs/operations.md wants it: nothing to say.
facts good() {
  facts all;
  all.today = std::chrono::sys_days{2026y / 11 / 25};
  all.own = {.pools = {.processes = 1, .shards = 2, .pipelines = 1, .leases = 4},
             .queue = {.queue = 8'192, .reads = 4'096, .writes = 4'096},
             .client_limit = 7'500,
             .statements = 30,
             .user = "pam_app",
             .database = "auth_rw"};
  all.postgres.version = 170'007;
  all.postgres.settings = {{"max_connections", "500"},
                           {"superuser_reserved_connections", "3"},
                           {"fsync", "on"},
                           {"full_page_writes", "on"},
                           {"synchronous_commit", "on"},
                           {"autovacuum", "on"}};
  all.postgres.extensions = {"plpgsql", "pg_stat_statements"};
  all.postgres.has_schema = true;
  all.postgres.partitions = {{"sessions", "month", true, 3, false}, {"outbox", "day", true, 3, false}};
  all.postgres.replicas = {{"r1", "streaming", 0.01, 1000}};
  all.postgres.slots = {{"r1", true, "reserved", 1000}};
  all.route.settings = {
      {"lock_timeout", "100"}, {"statement_timeout", "2000"}, {"idle_in_transaction_session_timeout", "5000"},
      {"jit", "off"},          {"synchronous_commit", "on"},  {"plan_cache_mode", "force_generic_plan"}};
  all.pooler.version = "1.25.2";
  all.pooler.settings = {
      {"max_client_conn", "2000"}, {"default_pool_size", "40"},   {"max_db_connections", "0"},
      {"reserve_pool_size", "0"},  {"pool_mode", "transaction"},  {"max_prepared_statements", "500"},
      {"query_wait_timeout", "5"}, {"server_login_retry", "0.2"}, {"server_connect_timeout", "3"},
      {"server_check_delay", "5"}, {"client_idle_timeout", "0"},  {"query_timeout", "0"}};
  all.pooler.entry = {{"pool_size", "40"}, {"max_connections", "0"}, {"paused", "0"}, {"disabled", "0"}};
  all.host.descriptor_limit = 20'000;
  all.host.tcp_migrate_req = 1;
  all.host.secret_files = {{"keys.file", "/etc/pam/keys.json", true, true, 0600}};
  all.host.certificates = {{"/etc/pam/cert.pem", "", 60}};
  return all;
}

std::string worst_of(const findings& all) {
  std::string text;
  for (const finding& one : all) {
    if (one.level != severity::ok)
      text += std::string{to_string(one.level)} + " " + one.subject + ": " + one.text + "\n";
  }
  return text;
}

TEST(check_judge, says_nothing_against_what_is_as_it_should_be) {
  EXPECT_EQ(worst_of(judge(good())), "");
}

/// One thing made wrong, and what is said about it.
struct row {
  const char* name;
  std::function<void(facts&)> spoil;
  severity level;
  const char* subject;
  const char* text;  ///< a part of it
};

class check_rule : public ::testing::TestWithParam<row> {};

TEST_P(check_rule, is_told_with_its_severity_and_a_cure) {
  facts all = good();
  GetParam().spoil(all);

  const findings found = judge(all);

  bool is_told = false;
  for (const finding& one : found) {
    if (one.subject != GetParam().subject || one.level != GetParam().level) continue;
    if (one.text.find(GetParam().text) == std::string::npos) continue;
    is_told = true;
    if (one.level == severity::warning || one.level == severity::danger) EXPECT_NE(one.cure, "");
  }
  EXPECT_TRUE(is_told) << worst_of(found);
}

setting_map& server(facts& all) {
  return all.postgres.settings;
}
setting_map& role(facts& all) {
  return all.route.settings;
}
setting_map& pooler(facts& all) {
  return all.pooler.settings;
}

const row rules[] = {
    // ---- pools ----
    {"pool_sum_above_pool", [](facts& f) { f.own.pools.processes = 5; }, severity::warning, "pools.pool_size",
     "5 processes x 2 shards x (1 pipeline + 4 leases) = 50 connections, PgBouncer has a pool of 40"},
    {"pool_sum_above_pool_in_session_mode",
     [](facts& f) {
       f.own.pools.processes = 5;
       f.pooler.entry["pool_mode"] = "session";
     },
     severity::danger, "pools.pool_size", "the rest never gets a turn"},
    {"no_room_for_successors_in_session_mode",
     [](facts& f) {
       f.own.pools.processes = 3;
       f.pooler.entry["pool_mode"] = "session";
     },
     severity::danger, "pools.pool_size", "60 while successors take over, PgBouncer has a pool of 40"},
    {"pool_sum_above_max_client_conn", [](facts& f) { pooler(f)["max_client_conn"] = "9"; }, severity::danger,
     "pools.max_client_conn",
     "= 10 connections, 20 while successors take over, with looks at the console 24, PgBouncer takes "
     "max_client_conn 9"},
    {"queue_below_what_is_admitted", [](facts& f) { f.own.queue.queue = 8'191; }, severity::warning,
     "database.queue_limit",
     "database.queue_limit is 8191, but admission.read + admission.write let in 4096 + 4096 = 8192 requests"},
    {"pool_above_max_db_connections", [](facts& f) { f.pooler.entry["max_connections"] = "20"; },
     severity::warning, "pools.max_db_connections", "20 is below the pool of 40"},
    {"pool_above_postgres", [](facts& f) { server(f)["max_connections"] = "30"; }, severity::danger,
     "pools.postgres", "up to 40, PostgreSQL grants max_connections 30 - 3 reserved = 27"},
    {"reserve_pool_counts",
     [](facts& f) {
       server(f)["max_connections"] = "45";
       pooler(f)["reserve_pool_size"] = "5";
     },
     severity::danger, "pools.postgres", "up to 45"},
    {"others_leave_no_room",
     [](facts& f) {
       server(f)["max_connections"] = "50";
       f.postgres.connections = 20;
     },
     severity::warning, "pools.postgres", "others hold 20 now"},
    {"direct_pools_above_postgres",
     [](facts& f) {
       f.route.is_direct = true;
       f.own.pools.processes = 60;
     },
     severity::danger, "pools.postgres",
     "60 processes x 2 shards x (1 pipeline + 4 leases) = 600 connections, 1200 while successors take over: "
     "they and commands open up to 1203"},
    {"pool_larger_than_useful", [](facts& f) { f.pooler.entry["pool_size"] = "100"; }, severity::note,
     "pools.pool_size", "a pool of 100 is more than a primary makes use of"},
    // ---- pooler ----
    {"old_pooler", [](facts& f) { f.pooler.version = "1.18.0"; }, severity::warning, "pooler.version",
     "cannot tell the answers of several batches apart"},
    {"pooler_with_known_flaws", [](facts& f) { f.pooler.version = "1.24.0"; }, severity::warning,
     "pooler.flaws", "CVE-2025-2291"},
    {"pooler_with_newer_flaws", [](facts& f) { f.pooler.version = "1.24.1"; }, severity::note, "pooler.flaws",
     "CVE-2026-6664"},
    {"names_off", [](facts& f) { pooler(f)["max_prepared_statements"] = "0"; }, severity::warning,
     "pooler.max_prepared_statements", "is 0"},
    {"names_too_few", [](facts& f) { pooler(f)["max_prepared_statements"] = "30"; }, severity::warning,
     "pooler.max_prepared_statements", "30 is not above our 30"},
    {"endless_wait", [](facts& f) { pooler(f)["query_wait_timeout"] = "0"; }, severity::warning,
     "pooler.query_wait_timeout", "is off"},
    {"long_wait", [](facts& f) { pooler(f)["query_wait_timeout"] = "120"; }, severity::warning,
     "pooler.query_wait_timeout", "= 120 s"},
    {"long_login_retry", [](facts& f) { pooler(f)["server_login_retry"] = "15"; }, severity::warning,
     "pooler.server_login_retry", "= 15 s"},
    {"long_connect", [](facts& f) { pooler(f)["server_connect_timeout"] = "15"; }, severity::warning,
     "pooler.server_connect_timeout", "swallows packets"},
    {"query_timeout", [](facts& f) { pooler(f)["query_timeout"] = "1"; }, severity::warning,
     "pooler.query_timeout", "behind our back"},
    {"client_idle_timeout", [](facts& f) { pooler(f)["client_idle_timeout"] = "60"; }, severity::note,
     "pooler.client_idle_timeout", "behind our back"},
    {"statement_mode", [](facts& f) { f.pooler.entry["pool_mode"] = "statement"; }, severity::danger,
     "pooler.pool_mode", "statement mode"},
    {"session_mode", [](facts& f) { f.pooler.entry["pool_mode"] = "session"; }, severity::note,
     "pooler.pool_mode", "session mode"},
    {"paused", [](facts& f) { f.pooler.entry["paused"] = "1"; }, severity::danger, "pooler.paused",
     "nothing is served"},
    {"strangers_on_old_pooler",
     [](facts& f) {
       f.pooler.version = "1.18.0";
       f.pooler.strangers = {"report at 10.0.0.9:4711"};
     },
     severity::danger, "pooler.strangers", "(auth_rw, pam_app) too: report at 10.0.0.9:4711"},
    {"strangers_on_new_pooler", [](facts& f) { f.pooler.strangers = {"psql at unix"}; }, severity::note,
     "pooler.strangers", "psql at unix"},
    {"silent_console",
     [](facts& f) {
       f.pooler.version.clear();
       f.pooler.refused = "not allowed";
     },
     severity::warning, "pooler.console", "not allowed"},
    {"no_route", [](facts& f) { f.route.unreachable = "refused"; }, severity::danger, "route", "refused"},
    {"route_in_the_clear", [](facts& f) { f.own.is_local = false; }, severity::warning, "route.tls",
     "in the clear"},
    {"route_unverified",
     [](facts& f) {
       f.own.is_local = false;
       f.own.sslmode = "require";
       f.route.is_tls = true;
     },
     severity::warning, "route.tls", "not checked"},
    // ---- role ----
    {"superuser", [](facts& f) { f.route.is_superuser = true; }, severity::danger, "role.rights",
     "superuser"},
    {"read_only", [](facts& f) { f.route.is_read_only = true; }, severity::danger, "role.read_only",
     "standby"},
    {"no_lock_timeout", [](facts& f) { role(f)["lock_timeout"] = "0"; }, severity::warning,
     "role.lock_timeout", "is off"},
    {"no_statement_timeout", [](facts& f) { role(f)["statement_timeout"] = "0"; }, severity::warning,
     "role.statement_timeout", "is off"},
    {"long_statement_timeout", [](facts& f) { role(f)["statement_timeout"] = "60000"; }, severity::warning,
     "role.statement_timeout", "60000 ms, above limits.request"},
    {"statement_before_lock", [](facts& f) { role(f)["statement_timeout"] = "50"; }, severity::warning,
     "role.statement_timeout", "before lock_timeout"},
    {"idle_transactions", [](facts& f) { role(f)["idle_in_transaction_session_timeout"] = "0"; },
     severity::warning, "role.idle_in_transaction_session_timeout", "keeps its locks"},
    {"jit", [](facts& f) { role(f)["jit"] = "on"; }, severity::note, "role.jit", "jit is on"},
    {"role_without_durability", [](facts& f) { role(f)["synchronous_commit"] = "off"; }, severity::danger,
     "role.synchronous_commit", "lost in a crash"},
    // ---- PostgreSQL ----
    {"no_direct_route", [](facts& f) { f.postgres.unreachable = "refused"; }, severity::danger,
     "postgres.route", "refused"},
    {"direct_route_to_a_standby", [](facts& f) { f.postgres.is_standby = true; }, severity::danger,
     "postgres.route", "standby"},
    {"version_too_old", [](facts& f) { f.postgres.version = 130'010; }, severity::danger, "postgres.version",
     "PostgreSQL 13.10 lacks"},
    {"version_without_fixes", [](facts& f) { f.postgres.version = 140'020; }, severity::warning,
     "postgres.version", "no fixes any more, since 2026-11-12"},
    {"version_soon_without_fixes",
     [](facts& f) {
       f.postgres.version = 150'018;
       f.today = std::chrono::sys_days{2027y / 8 / 1};
     },
     severity::note, "postgres.version", "until 2027-11-11"},
    {"fsync", [](facts& f) { server(f)["fsync"] = "off"; }, severity::danger, "postgres.fsync", "destroys"},
    {"full_page_writes", [](facts& f) { server(f)["full_page_writes"] = "off"; }, severity::danger,
     "postgres.full_page_writes", "torn"},
    {"synchronous_commit", [](facts& f) { server(f)["synchronous_commit"] = "off"; }, severity::danger,
     "postgres.synchronous_commit", "acknowledged"},
    {"local_commit_with_standbys",
     [](facts& f) {
       server(f)["synchronous_commit"] = "local";
       server(f)["synchronous_standby_names"] = "r1";
     },
     severity::warning, "postgres.synchronous_commit", "not waited for"},
    {"autovacuum", [](facts& f) { server(f)["autovacuum"] = "off"; }, severity::danger, "postgres.autovacuum",
     "off"},
    {"clock_behind", [](facts& f) { f.postgres.clock_skew_seconds = -1.5; }, severity::warning,
     "postgres.clock", "1.5 s behind"},
    {"clock_far_ahead", [](facts& f) { f.postgres.clock_skew_seconds = 90; }, severity::danger,
     "postgres.clock", "90 s ahead"},
    {"no_statement_statistics", [](facts& f) { f.postgres.extensions = {}; }, severity::note,
     "postgres.pg_stat_statements", "not installed"},
    {"generic_plans_on_citus", [](facts& f) { f.postgres.extensions.emplace_back("citus"); },
     severity::danger, "postgres.plan_cache_mode", "could not create distributed plan"},
    {"custom_plans_of_named_statements",
     [](facts& f) { f.route.settings["plan_cache_mode"] = "force_custom_plan"; }, severity::warning,
     "route.plan_cache_mode", "planned each time"},
    {"custom_plans_without_a_pooler",
     [](facts& f) {
       f.route.is_direct = true;
       f.route.settings["plan_cache_mode"] = "force_custom_plan";
     },
     severity::warning, "route.plan_cache_mode", "planned each time"},
    {"generic_plans_of_unnamed_statements", [](facts& f) { f.pooler.version = "1.18.0"; }, severity::warning,
     "route.plan_cache_mode", "every partition"},
    {"no_schema", [](facts& f) { f.postgres.has_schema = false; }, severity::danger, "postgres.schema",
     "not there"},
    {"no_partition_now", [](facts& f) { f.postgres.partitions[0].has_current = false; }, severity::danger,
     "postgres.partitions", "sessions has no partition for this moment"},
    {"few_partitions_ahead", [](facts& f) { f.postgres.partitions[1].ahead = 1; }, severity::warning,
     "postgres.partitions", "outbox has partitions for only 1 day(s) ahead"},
    {"detach_interrupted", [](facts& f) { f.postgres.partitions[0].is_detach_pending = true; },
     severity::warning, "postgres.partitions", "interrupted"},
    {"invalid_index", [](facts& f) { f.postgres.invalid_indexes = {"accounts_x"}; }, severity::warning,
     "postgres.index", "accounts_x is INVALID"},
    {"old_transactions", [](facts& f) { f.postgres.oldest_transaction_age = 600'000'000; }, severity::warning,
     "postgres.wraparound", "600 million"},
    {"wraparound", [](facts& f) { f.postgres.oldest_transaction_age = 1'900'000'000; }, severity::danger,
     "postgres.wraparound", "1900 million"},
    {"replica_behind_in_time", [](facts& f) { f.postgres.replicas[0].lag_seconds = 2.5; }, severity::warning,
     "replica.r1", "2.5 s and 0 MiB behind"},
    {"replica_behind_in_bytes", [](facts& f) { f.postgres.replicas[0].lag_bytes = 64 << 20; },
     severity::warning, "replica.r1", "64 MiB behind"},
    {"replica_not_streaming", [](facts& f) { f.postgres.replicas[0].state = "catchup"; }, severity::warning,
     "replica.r1", "catchup"},
    {"replica_hidden", [](facts& f) { f.postgres.replicas[0].state = ""; }, severity::note, "replica.r1",
     "hidden"},
    {"slot_unread", [](facts& f) { f.postgres.slots = {{"r1", false, "extended", std::int64_t{3} << 30}}; },
     severity::danger, "slot.r1", "keeps 3072 MiB of WAL"},
    {"slot_idle", [](facts& f) { f.postgres.slots[0].is_active = false; }, severity::warning, "slot.r1",
     "nobody reads it"},
    {"slot_lost", [](facts& f) { f.postgres.slots[0].wal_status = "lost"; }, severity::danger, "slot.r1",
     "lost WAL"},
    {"unanswered", [](facts& f) { f.postgres.unanswered = {"replicas: permission denied"}; }, severity::note,
     "postgres.unanswered", "permission denied"},
    // ---- this machine ----
    {"few_descriptors", [](facts& f) { f.host.descriptor_limit = 1024; }, severity::warning,
     "host.descriptors",
     "15000 clients + 174 of databases, loops and files = 15174, RLIMIT_NOFILE grants a process 1024: serve "
     "takes 425 connections a shard only"},
    {"hardly_any_descriptors", [](facts& f) { f.host.descriptor_limit = 200; }, severity::danger,
     "host.descriptors", "serve refuses to start"},
    {"no_migration_of_connections", [](facts& f) { f.host.tcp_migrate_req = 0; }, severity::note,
     "host.tcp_migrate_req", "are reset"},
    {"old_kernel", [](facts& f) { f.host.tcp_migrate_req.reset(); }, severity::note, "host.tcp_migrate_req",
     "cannot move"},
    {"key_file_missing", [](facts& f) { f.host.secret_files[0].exists = false; }, severity::danger,
     "keys.file", "is not there"},
    {"key_file_of_another_user", [](facts& f) { f.host.secret_files[0].is_readable = false; },
     severity::danger, "keys.file", "cannot be read"},
    {"key_file_for_all", [](facts& f) { f.host.secret_files[0].mode = 0644; }, severity::danger, "keys.file",
     "mode 0644: everybody"},
    {"key_file_for_its_group", [](facts& f) { f.host.secret_files[0].mode = 0640; }, severity::warning,
     "keys.file", "mode 0640: its group"},
    {"certificate_expired", [](facts& f) { f.host.certificates[0].days_left = -3; }, severity::danger,
     "tls.certificate_file", "expired 3 days ago"},
    {"certificate_expires", [](facts& f) { f.host.certificates[0].days_left = 3.5; }, severity::warning,
     "tls.certificate_file", "expires in 3 days"},
    {"certificate_unreadable", [](facts& f) { f.host.certificates[0].problem = "cannot be read"; },
     severity::danger, "tls.certificate_file", "cannot be read"},
};

INSTANTIATE_TEST_SUITE_P(all, check_rule, ::testing::ValuesIn(rules),
                         [](const auto& info) { return std::string{info.param.name}; });

TEST(check_judge, a_route_that_does_not_work_is_one_finding_and_not_one_for_each_setting) {
  facts all = good();
  all.route = {.unreachable = "refused"};
  all.pooler = {};

  EXPECT_EQ(worst_of(judge(all)), "danger route: the route of [database] does not work: refused\n");
}

TEST(check_judge, the_shipped_pgbouncer_ini_breaks_no_rule) {
  facts all = good();
  all.pooler.settings = testing::settings_of("docker/pgbouncer/pgbouncer.ini");
  all.pooler.entry = {};

  EXPECT_EQ(worst_of(judge(all)), "");
  EXPECT_TRUE(all.pooler.settings.contains("server_connect_timeout"));
}

TEST(check_judge, the_shipped_postgresql_conf_breaks_no_rule) {
  facts all = good();
  all.postgres.settings = testing::settings_of("docker/postgres/phase1.conf");
  all.own.pools.processes = 8;  // the whole pool of 40
  all.own.pools.leases = 1;

  EXPECT_EQ(worst_of(judge(all)), "");
}

TEST(check_judge, versions_are_compared_as_numbers) {
  EXPECT_EQ(pooler_version("1.24.1"), 1'024'001);
  EXPECT_EQ(pooler_version("1.9.0"), 1'009'000);
  EXPECT_EQ(pooler_version("1.25"), 1'025'000);
  EXPECT_EQ(pooler_version("1.26.0dev"), 1'026'000);
  EXPECT_EQ(pooler_version("nonsense"), 0);
  EXPECT_EQ(pooler_version(""), 0);
}

TEST(check_findings, text_has_one_line_a_finding_and_a_count) {
  const findings all{{severity::danger, "a.b", "is wrong", "do this"}, {severity::ok, "c", "fits", ""}};

  EXPECT_EQ(as_text(all),
            "danger   a.b: is wrong. Cure: do this\n"
            "ok       c: fits\n"
            "1 danger, 0 warning, 0 note, 1 ok\n");
}

TEST(check_findings, a_server_s_message_cannot_add_lines) {
  const findings all{{severity::danger, "route", "refused\n  on two lines\r\n", ""}};

  EXPECT_THAT(as_text(all), StartsWith("danger   route: refused   on two lines  \n1 danger"));
}

TEST(check_findings, json_says_the_worst_first) {
  const findings all{{severity::note, "a", "\"quoted\"", "cure"}};

  EXPECT_EQ(
      as_json(all),
      R"({"worst":"note","findings":[{"severity":"note","subject":"a","text":"\"quoted\"","cure":"cure"}]})"
      "\n");
}

}  // namespace
}  // namespace pam::cli::check
