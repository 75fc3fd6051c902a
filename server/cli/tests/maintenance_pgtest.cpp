#include "server/cli/maintenance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <regex>
#include <thread>

#include "server/cli/migration_runner.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using std::chrono::seconds;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr seconds day{86'400};

class maintenance : public testing::Test {
 protected:
  maintenance() : owner_(database_.open()), worker_(database_.open()) {
    const auto done = migrate_up(owner_, {});
    if (done.has_error()) throw std::runtime_error(done.error().sentence);
    options_.keep = {{"sessions", 120 * day},
                     {"auth_events", 400 * day},
                     {"one_time_tokens", 2 * day},
                     {"flow_states", 2 * day},
                     {"outbox", 7 * day}};
  }

  /// One round; @return its lines, failures marked with "!"
  std::vector<std::string> round() {
    std::vector<std::string> lines;
    const auto failed = maintain(worker_, options_, [&](const step_report& each) {
      lines.push_back((each.outcome == step_outcome::failed ? "!" : "") + each.line);
    });
    if (failed.has_error()) lines.push_back("!" + failed.error().sentence);
    return lines;
  }
  std::string value_of(const std::string& query) {
    const auto found = owner_.query(query);
    if (found.has_error()) return "error: " + found.error().detail;
    return found->empty() ? "none" : found->values[0][0].value_or("NULL");
  }
  void sql(const std::string& script) {
    const auto done = owner_.run(script);
    ASSERT_TRUE(done.has_value()) << script << ": " << done.error().detail;
  }

  tests::test_database database_;
  db::admin_connection owner_;
  db::admin_connection worker_;
  maintenance_options options_;
};

TEST_F(maintenance, makes_what_is_missing_and_the_second_round_has_nothing_to_make) {
  sql("DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits JOIN partition_rules AS r "
      "ON "
      "inhparent = to_regclass(r.parent) LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$");

  const auto first = round();
  const auto second = round();

  EXPECT_THAT(first, Not(Contains(HasSubstr("!"))));
  EXPECT_EQ(value_of("SELECT string_agg(ahead || '', ' ') FROM partition_state()"), "3 3 3 3 3");
  EXPECT_THAT(second, Not(Contains(HasSubstr("make the partition"))));
  EXPECT_EQ(value_of("SELECT is_done FROM maintenance_steps WHERE step = 'round'"), "t");
}

TEST_F(maintenance, says_what_it_would_do_and_changes_nothing) {
  sql("SELECT make_partition('outbox', now() - interval '30 days'); DROP TABLE flow_states_" +
      value_of("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD')"));
  options_.is_dry_run = true;

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("would make the partition flow_states_")));
  EXPECT_THAT(lines,
              Contains(testing::AllOf(HasSubstr("would detach outbox_"), HasSubstr("is kept for 7 days"))));
  EXPECT_THAT(lines, Contains(HasSubstr("would refresh report_active, never refreshed")));
  EXPECT_EQ(value_of("SELECT count(*) FROM maintenance_steps"), "0");
  EXPECT_EQ(value_of("SELECT has_current FROM partition_state() WHERE parent = 'flow_states'"), "f");
}

TEST_F(maintenance, drops_what_is_past_its_time_and_nothing_else) {
  sql("SELECT make_partition('sessions', now() - make_interval(days => n)), make_partition('outbox', now() - "
      "make_interval(days => n)) FROM unnest(ARRAY[6, 9, 130, 200]) AS n");
  const std::string sessions =
      "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^sessions_' AND "
      "to_date(substr(relname, 10), 'YYYYMM') + interval '1 month' < now() - interval '120 "
      "days'";
  ASSERT_NE(value_of(sessions), "0");

  const auto lines = round();

  EXPECT_THAT(lines, Not(Contains(HasSubstr("!"))));
  EXPECT_EQ(value_of(sessions), "0");
  EXPECT_EQ(value_of("SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^outbox_'"), "5")
      << "today, three ahead, and six days ago";
}

TEST_F(maintenance, finishes_a_detach_that_was_interrupted) {
  sql("SELECT make_partition('sessions', now() - interval '200 days')");
  const std::string name =
      value_of("SELECT partition_name('sessions', 'month', now() - interval '200 days')");
  // A reader of the table keeps the detach waiting; then its session is ended.
  auto reader = database_.open();
  ASSERT_TRUE(reader.run("BEGIN; SELECT count(*) FROM sessions").has_value());
  auto victim = database_.open();
  std::thread detaching{[&] {
    EXPECT_TRUE(victim.run("ALTER TABLE sessions DETACH PARTITION " + name + " CONCURRENTLY").has_error());
  }};
  tests::wait_for(owner_, "SELECT is_detach_pending FROM partition_state() WHERE parent = 'sessions'", "t");
  sql("SELECT pg_terminate_backend(" + std::to_string(victim.backend_pid()) + ")");
  detaching.join();
  ASSERT_TRUE(reader.run("COMMIT").has_value());

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("finish the interrupted detach of " + name)));
  EXPECT_THAT(lines, Contains("drop " + name));
  EXPECT_THAT(lines, Not(Contains(HasSubstr("!"))));
}

TEST_F(maintenance, waits_for_a_lock_in_short_tries_that_let_sign_ins_through) {
  sql("SELECT make_partition('sessions', now() - interval '200 days')");
  const std::string name =
      value_of("SELECT partition_name('sessions', 'month', now() - interval '200 days')");
  sql("ALTER TABLE sessions DETACH PARTITION " + name);
  auto writer = database_.open("pam_app");
  ASSERT_TRUE(writer.run("BEGIN; INSERT INTO accounts (email) VALUES ('held@example.com')").has_value());
  std::atomic<int> signed_up{0};
  std::atomic<int> refused{0};
  std::thread others{[&] {
    auto app = database_.open("pam_app");  // lock_timeout 100 ms
    tests::wait_for(owner_, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", "t");
    for (int i = 0; i < 50; ++i)
      ++(app.run("INSERT INTO accounts (email) VALUES ('u" + std::to_string(i) + "@example.com')").has_value()
             ? signed_up
             : refused);
    EXPECT_TRUE(writer.run("COMMIT").has_value());
  }};

  const auto lines = round();

  others.join();
  EXPECT_THAT(lines, Contains("drop " + name));
  EXPECT_EQ(signed_up, 50);
  EXPECT_EQ(refused, 0);
}

TEST_F(maintenance, table_that_stays_locked_is_reported_and_the_rest_goes_on) {
  sql("SELECT make_partition('sessions', now() - interval '200 days')");
  const std::string name =
      value_of("SELECT partition_name('sessions', 'month', now() - interval '200 days')");
  sql("ALTER TABLE sessions DETACH PARTITION " + name);
  auto writer = database_.open();
  ASSERT_TRUE(writer.run("BEGIN; LOCK TABLE accounts IN ROW EXCLUSIVE MODE").has_value());
  options_.lock_tries = 2;

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("!could not drop " + name)));
  EXPECT_THAT(lines, Contains(HasSubstr("refresh report_active")));
  EXPECT_EQ(value_of("SELECT is_done FROM maintenance_steps WHERE step = 'retention'"), "f");
}

TEST_F(maintenance, frees_old_claims_without_accounts_in_batches_and_no_others) {
  sql("INSERT INTO claims SELECT 'email', 'o' || n || '@example.com', gen_random_uuid(), now() - interval "
      "'11 "
      "minutes' FROM generate_series(1, 1200) n; INSERT INTO claims VALUES ('email', 'new@example.com', "
      "gen_random_uuid(), now()); INSERT INTO accounts (id, email) VALUES "
      "('00000000-0000-4000-8000-000000000001', "
      "'a@example.com'); INSERT INTO claims VALUES ('email', 'a@example.com', "
      "'00000000-0000-4000-8000-000000000001', now() - interval '1 day')");

  const auto lines = round();

  EXPECT_EQ(std::ranges::count(lines, "free claims whose accounts do not exist (500)"), 2);
  EXPECT_EQ(value_of("SELECT string_agg(value, ' ' ORDER BY value) FROM claims"),
            "a@example.com new@example.com");
}

TEST_F(maintenance, orphan_claims_wait_for_a_quiet_time_after_the_first_batch) {
  sql("INSERT INTO claims SELECT 'email', 'o' || n || '@example.com', gen_random_uuid(), now() - interval "
      "'11 "
      "minutes' FROM generate_series(1, 1200) n");
  options_.busy_backends = 0;

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("claims postponed: ")));
  EXPECT_EQ(value_of("SELECT count(*) FROM claims"), "700");
}

TEST_F(maintenance, servers_not_seen_for_a_week_are_forgotten_and_a_dry_run_says_so) {
  sql("INSERT INTO app_instances (id, host, pid, version, schema_version, started_at, seen_at) SELECT "
      "gen_random_uuid(), 'h', 1, '1', 1, now() - interval '30 days', now() - make_interval(days => n) FROM "
      "unnest(ARRAY[0, 6, 8, 9]) n");
  options_.is_dry_run = true;
  EXPECT_THAT(round(), Contains("would forget 2 servers not seen for a week"));
  EXPECT_EQ(value_of("SELECT count(*) FROM app_instances"), "4");
  options_.is_dry_run = false;

  EXPECT_THAT(round(), Contains("forget servers not seen for a week (2)"));
  EXPECT_EQ(value_of("SELECT count(*) FROM app_instances"), "2");
}

TEST_F(maintenance, vacuums_where_autovacuum_is_behind) {
  sql("ALTER TABLE accounts SET (autovacuum_enabled = off)");
  sql("INSERT INTO accounts (email) SELECT 'u' || n || '@example.com' FROM generate_series(1, 3000) n");
  sql("UPDATE accounts SET updated_at = now()");
  tests::wait_for(owner_, "SELECT n_dead_tup >= 3000 FROM pg_stat_user_tables WHERE relname = 'accounts'",
                  "t");

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("vacuum and analyze accounts: ")));
  // PostgreSQL 14 tells its statistics by a process of their own, later.
  tests::wait_for(owner_,
                  "SELECT last_vacuum IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'accounts'", "t");
}

TEST_F(maintenance, gathers_the_statistics_that_autovacuum_does_not) {
  sql("INSERT INTO auth_events (account_id, occurred_at, id, kind, success) SELECT gen_random_uuid(), now(), "
      "uuid7(), CASE WHEN n % 10 = 0 THEN 'sign_in_failed' ELSE 'sign_in' END, n % 10 <> 0 FROM "
      "generate_series(1, 3000) n");
  sql("VACUUM auth_events");  // counts rows, as autovacuum would, without their statistics

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("analyze auth_events: never analyzed as a whole")));
  EXPECT_EQ(value_of("SELECT bool_and(dependencies IS NOT NULL) FROM pg_stats_ext WHERE tablename = "
                     "partition_name('auth_events', 'month', now())"),
            "t");
  // A filter by both: three hundred rows, a tenth of that without their dependence.
  const std::string plan = value_of(
      "EXPLAIN (FORMAT JSON) SELECT 1 FROM auth_events WHERE kind = 'sign_in_failed' AND NOT success");
  std::smatch rows;
  ASSERT_TRUE(std::regex_search(plan, rows, std::regex{R"re("Plan Rows": (\d+))re"})) << plan;
  EXPECT_NEAR(std::stod(rows[1]), 300, 30) << plan;
  // PostgreSQL 14 tells its statistics later, see above.
  tests::wait_for(
      owner_, "SELECT last_analyze IS NOT NULL FROM pg_stat_user_tables WHERE relname = 'auth_events'", "t");
  EXPECT_THAT(round(), testing::Not(Contains(HasSubstr("analyze auth_events"))));
}

TEST_F(maintenance, builds_a_bloated_index_anew_and_drops_what_an_interrupted_build_left) {
  sql("ALTER TABLE claims SET (autovacuum_enabled = off)");
  sql("INSERT INTO claims SELECT 'email', n || 'a-rather-long-address@example.com', gen_random_uuid(), now() "
      "FROM "
      "generate_series(1, 20000) n");
  sql("DELETE FROM claims WHERE value !~ '^1'");
  ASSERT_TRUE(owner_.run("VACUUM ANALYZE claims").has_value());
  const std::string size = "SELECT pg_relation_size('claims_pkey')";
  const int before = std::stoi(value_of(size));
  // An interrupted REINDEX CONCURRENTLY leaves its copy, not valid.
  sql("CREATE INDEX accounts_pkey_ccnew ON accounts (id); UPDATE pg_index SET indisvalid = false WHERE "
      "indexrelid = "
      "'accounts_pkey_ccnew'::regclass");
  options_.bloat_bytes = 100'000;
  options_.bloat_percent = 20;

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("build claims_pkey anew: about ")));
  EXPECT_LT(std::stoi(value_of(size)), before * 3 / 4);
  EXPECT_EQ(value_of("SELECT to_regclass('accounts_pkey_ccnew')"), "NULL");
  EXPECT_THAT(round(), Not(Contains(HasSubstr("anew"))));
}

TEST_F(maintenance, refreshes_reports_that_are_due_and_notes_when) {
  sql("INSERT INTO accounts (email) VALUES ('a@example.com')");

  const auto first = round();
  const auto second = round();

  EXPECT_THAT(first, Contains(HasSubstr("refresh report_daily_sign_ups, never refreshed")));
  EXPECT_EQ(value_of("SELECT sign_ups FROM report_daily_sign_ups"), "1");
  EXPECT_EQ(value_of("SELECT count(*) FROM maintenance_steps WHERE step LIKE 'refresh:report%' AND is_done"),
            "4");
  EXPECT_THAT(second, Not(Contains(HasSubstr("refresh report"))));
}

TEST_F(maintenance, what_can_wait_does_while_the_database_is_busy) {
  options_.busy_backends = 0;

  const auto lines = round();

  EXPECT_THAT(lines, Contains(HasSubstr("refresh:report_active postponed: ")));
  EXPECT_EQ(value_of("SELECT ahead FROM partition_state() WHERE parent = 'sessions'"), "3");
}

TEST_F(maintenance, works_for_the_role_that_is_made_for_it) {
  worker_ = database_.open("pam_maintain");

  const auto lines = round();

  EXPECT_THAT(lines, Not(Contains(HasSubstr("!"))));
  EXPECT_THAT(lines, Contains(HasSubstr("refresh report_active")));
}

TEST_F(maintenance, one_process_leads_until_it_resigns_or_dies) {
  auto second = database_.open();
  auto third = database_.open();

  const auto first_leads = lead(worker_);
  const auto second_leads = lead(second);
  resign(worker_);
  const auto second_leads_then = lead(second);
  ASSERT_TRUE(
      owner_.run("SELECT pg_terminate_backend(" + std::to_string(second.backend_pid()) + ")").has_value());
  tests::wait_for(owner_,
                  "SELECT count(*) FROM pg_stat_activity WHERE pid = " + std::to_string(second.backend_pid()),
                  "0");
  const auto third_leads = lead(third);

  EXPECT_TRUE(first_leads.has_value() && *first_leads);
  EXPECT_TRUE(second_leads.has_value() && !*second_leads);
  EXPECT_TRUE(second_leads_then.has_value() && *second_leads_then);
  EXPECT_TRUE(third_leads.has_value() && *third_leads);
}

TEST(maintenance_without_a_schema, says_to_migrate_first) {
  const tests::test_database database;
  auto connection = database.open();

  const auto done = maintain(connection, {}, {});

  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().sentence, HasSubstr("run `pam-auth migrate up` first"));
}

}  // namespace
}  // namespace pam::cli
