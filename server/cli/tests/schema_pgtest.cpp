// What the schema promises to the statements that use it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/migration_runner.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using testing::HasSubstr;

constexpr const char* account = "00000000-0000-4000-8000-000000000001";
constexpr const char* hash = "decode(repeat('ab', 32), 'hex')";

class schema : public testing::Test {
 protected:
  schema() : owner_(database_.open()) {
    const auto done = migrate_up(owner_, {});
    if (done.has_error()) throw std::runtime_error(done.error().sentence);
    app_.emplace(database_.open("pam_app"));
  }

  /// SQLSTATE of a statement of the application, empty when it worked.
  std::string state_of(const std::string& statement) {
    const auto done = app_->run(statement);
    return done.has_value() ? std::string{} : done.error().sqlstate;
  }
  /// Name of the constraint a statement of the application violates, empty when it worked.
  std::string violated_by(const std::string& statement) {
    const auto done = app_->run(statement);
    if (done.has_value()) return {};
    return done.error().constraint.empty() ? done.error().detail : done.error().constraint;
  }
  std::string value_of(const std::string& query) {
    const auto found = owner_.query(query);
    if (found.has_error()) return "error: " + found.error().detail;
    return found->values.at(0).at(0).value_or("NULL");
  }
  /// "updates HOT-updates" of tables once they say `updates`: a session reports its counters when it ends at
  /// the latest, and PostgreSQL 14 shows them later still.
  std::string counted_updates(const std::string& tables, const std::string& updates) {
    app_.reset();
    const std::string rows = " FROM pg_stat_user_tables WHERE relname LIKE '" + tables + "'";
    tests::wait_for(owner_, "SELECT sum(n_tup_upd)" + rows, updates);
    return value_of("SELECT sum(n_tup_upd) || ' ' || sum(n_tup_hot_upd)" + rows);
  }
  void add_account() {
    ASSERT_EQ(
        state_of(std::string{"INSERT INTO accounts (id, email) VALUES ('"} + account + "', 'a@example.com')"),
        "");
  }
  /// INSERT of a session with `columns` overridden.
  static std::string session(const std::string& columns = "", const std::string& values = "",
                             const std::string& id = "uuid7()") {
    return "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, "
           "created_at, "
           "refreshed_at" +
           columns + ") VALUES (" + id + ", '" + account + "', " + hash +
           ", now() + interval '30 days', now() + interval '90 days', now(), now()" + values + ")";
  }

  tests::test_database database_;
  db::admin_connection owner_;
  std::optional<db::admin_connection> app_;
};

TEST_F(schema, application_can_neither_alter_nor_truncate_nor_drop) {
  for (const std::string table : {"accounts", "claims", "identities", "sessions"}) {
    EXPECT_EQ(state_of("ALTER TABLE " + table + " ADD COLUMN x int"), "42501") << table;
    EXPECT_EQ(state_of("TRUNCATE " + table + " CASCADE"), "42501") << table;
    EXPECT_EQ(state_of("DROP TABLE " + table + " CASCADE"), "42501") << table;
    EXPECT_EQ(state_of("CREATE INDEX ON " + table + " (account_id)"), "42501") << table;
  }
  EXPECT_EQ(state_of("CREATE TABLE mine (id int)"), "42501");
  EXPECT_EQ(state_of("SET ROLE pam_owner"), "42501");
  EXPECT_EQ(state_of("DELETE FROM schema_migrations"), "42501");
  EXPECT_EQ(state_of("SELECT make_sessions_partition(now())"), "42501");
}

TEST_F(schema, application_reads_and_writes_rows_and_reads_the_ledger) {
  add_account();

  EXPECT_EQ(state_of(session()), "");
  EXPECT_EQ(state_of("UPDATE accounts SET last_sign_in_at = now()"), "");
  EXPECT_EQ(state_of("INSERT INTO claims VALUES ('email', 'a@example.com', gen_random_uuid(), now())"), "");
  EXPECT_EQ(state_of("SELECT max(version) FROM schema_migrations"), "");
  EXPECT_EQ(state_of("DELETE FROM accounts"), "");
  EXPECT_EQ(value_of("SELECT count(*) FROM sessions"), "0");
}

TEST_F(schema, settings_of_the_application_role_are_in_force_at_sign_in) {
  const auto shown = app_->query(
      "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),"
      " current_setting('idle_in_transaction_session_timeout'), current_setting('jit'),"
      " current_setting('plan_cache_mode')");

  ASSERT_TRUE(shown.has_value());
  EXPECT_THAT(shown->values[0], testing::ElementsAre("100ms", "2s", "5s", "off", "force_generic_plan"));
}

TEST_F(schema, setting_an_operator_chose_survives_the_next_migration) {
  ASSERT_TRUE(owner_.run("ALTER ROLE pam_report SET statement_timeout = '90s'").has_value());
  const tests::test_database another;
  auto connection = another.open();

  const auto done = migrate_up(connection, {});

  ASSERT_TRUE(done.has_value());
  auto report = another.open("pam_report");
  const auto shown = report.query("SHOW statement_timeout");
  ASSERT_TRUE(owner_.run("ALTER ROLE pam_report SET statement_timeout = '60s'").has_value());
  ASSERT_TRUE(shown.has_value());
  EXPECT_EQ(shown->values[0][0], "90s");
}

TEST_F(schema, reporter_sees_neither_password_hashes_nor_token_hashes) {
  auto report = database_.open("pam_report");

  const auto password = report.run("SELECT hashed_password FROM accounts");
  const auto token = report.run("SELECT refresh_token FROM sessions");

  ASSERT_TRUE(password.has_error());
  EXPECT_EQ(password.error().sqlstate, "42501");
  ASSERT_TRUE(token.has_error());
  EXPECT_EQ(token.error().sqlstate, "42501");
  EXPECT_TRUE(report.run("SELECT id, email, created_at FROM accounts").has_value());
  EXPECT_TRUE(report.run("SELECT id, ip FROM sessions").has_value());
}

TEST_F(schema, maintainer_becomes_the_owner_only_on_purpose) {
  auto maintain = database_.open("pam_maintain");

  const auto without =
      maintain.run("ALTER TABLE sessions DETACH PARTITION sessions_" +
                   value_of("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '3 months', 'YYYYMM')"));
  const auto with = maintain.run("SET ROLE pam_owner");

  ASSERT_TRUE(without.has_error());
  EXPECT_EQ(without.error().sqlstate, "42501");
  EXPECT_TRUE(with.has_value());
}

TEST_F(schema, monitor_reads_statistics_and_no_table) {
  auto monitor = database_.open("pam_monitor");

  EXPECT_TRUE(monitor.run("SELECT * FROM pg_stat_activity; SELECT * FROM pg_stat_user_tables").has_value());
  EXPECT_TRUE(monitor.run("SELECT id FROM public.accounts").has_error());
}

struct bad_row {
  const char* name;
  const char* statement;
  const char* constraint;
};

/// One database for all rows: none of them stays.
class bad_account : public testing::TestWithParam<bad_row> {
 protected:
  static void SetUpTestSuite() {
    database_ = std::make_unique<tests::test_database>();
    auto owner = database_->open();
    ASSERT_TRUE(migrate_up(owner, {}).has_value());
  }
  static void TearDownTestSuite() { database_.reset(); }

  static inline std::unique_ptr<tests::test_database> database_;
};

TEST_P(bad_account, is_rejected) {
  auto app = database_->open("pam_app");

  const auto done = app.run(GetParam().statement);

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().constraint, GetParam().constraint);
}

INSTANTIATE_TEST_SUITE_P(
    schema, bad_account,
    testing::Values(
        bad_row{"upper_case", "INSERT INTO accounts (email) VALUES ('A@example.com')",
                "accounts_email_canonical"},
        bad_row{"leading_space", "INSERT INTO accounts (email) VALUES (' a@example.com')",
                "accounts_email_canonical"},
        bad_row{"trailing_tab", "INSERT INTO accounts (email) VALUES (E'a@example.com\\t')",
                "accounts_email_canonical"},
        bad_row{"empty_email", "INSERT INTO accounts (email) VALUES ('')", "accounts_email_canonical"},
        bad_row{"bad_phone", "INSERT INTO accounts (phone) VALUES ('12 34 56')", "accounts_phone_canonical"},
        bad_row{"empty_password",
                "INSERT INTO accounts (email, hashed_password) VALUES ('a@example.com', '')",
                "accounts_hashed_password_present"},
        bad_row{"metadata_array", "INSERT INTO accounts (email, metadata) VALUES ('a@example.com', '[]')",
                "accounts_metadata_object"},
        bad_row{"app_metadata_null",
                "INSERT INTO accounts (email, app_metadata) VALUES ('a@example.com', 'null')",
                "accounts_app_metadata_object"},
        bad_row{"admin_role", "INSERT INTO accounts (email, role) VALUES ('a@example.com', 'service_role')",
                "accounts_role_not_admin"},
        bad_row{"admin_role_disguised",
                "INSERT INTO accounts (email, role) VALUES ('a@example.com', 'Supabase_Admin')",
                "accounts_role_not_admin"},
        bad_row{"negative_failures",
                "INSERT INTO accounts (email, failed_count) VALUES ('a@example.com', -1)",
                "accounts_failed_count_positive"},
        bad_row{"password_alone", "INSERT INTO accounts (hashed_password) VALUES ('h')",
                "accounts_credentials"},
        bad_row{"anonymous_with_email",
                "INSERT INTO accounts (is_anonymous, email) VALUES (true, 'a@example.com')",
                "accounts_credentials"},
        bad_row{"anonymous_with_password",
                "INSERT INTO accounts (is_anonymous, hashed_password) VALUES (true, 'h')",
                "accounts_credentials"},
        bad_row{"claim_upper_case",
                "INSERT INTO claims VALUES ('email', 'A@example.com', gen_random_uuid(), now())",
                "claims_email_canonical"},
        bad_row{"claim_empty", "INSERT INTO claims VALUES ('email', '', gen_random_uuid(), now())",
                "claims_value_size"},
        bad_row{"identity_of_nobody",
                "INSERT INTO identities (account_id, id, provider, provider_id, identity_data) VALUES "
                "(gen_random_uuid(), gen_random_uuid(), 'email', 'x', '{}')",
                "identities_account_fkey"},
        bad_row{"identity_data_array",
                "INSERT INTO identities (account_id, id, provider, provider_id, identity_data) VALUES "
                "(gen_random_uuid(), gen_random_uuid(), 'email', 'x', '[]')",
                "identities_data_object"}),
    [](const auto& info) { return info.param.name; });

TEST_F(schema, every_allowed_kind_of_account_is_accepted) {
  EXPECT_EQ(violated_by("INSERT INTO accounts (email, hashed_password) VALUES ('a@example.com', 'h')"), "");
  EXPECT_EQ(violated_by("INSERT INTO accounts (phone, hashed_password) VALUES ('+436641234567', 'h')"), "");
  EXPECT_EQ(violated_by("INSERT INTO accounts (email) VALUES ('v@example.com')"), "");
  EXPECT_EQ(violated_by("INSERT INTO accounts DEFAULT VALUES"), "");
  EXPECT_EQ(violated_by("INSERT INTO accounts (is_anonymous) VALUES (true)"), "");
  EXPECT_EQ(
      violated_by(
          "INSERT INTO accounts (phone, deleted_at) VALUES ('0f3a9c0f3a9c0f3a9c0f3a9c0f3a9c0f', now())"),
      "");
  EXPECT_EQ(violated_by("INSERT INTO accounts (email) VALUES ('a@example.com')"), "accounts_email_key");
}

TEST_F(schema, claim_is_held_by_one_account_only) {
  const std::string claim = "INSERT INTO claims VALUES ('email', 'a@example.com', gen_random_uuid(), now())";

  EXPECT_EQ(violated_by(claim), "");
  EXPECT_EQ(violated_by(claim), "claims_pkey");
  EXPECT_EQ(violated_by("INSERT INTO claims VALUES ('phone', 'a@example.com', gen_random_uuid(), now())"),
            "");
}

TEST_F(schema, bad_sessions_are_rejected) {
  add_account();

  EXPECT_EQ(violated_by(session(", generation", ", -1")), "sessions_generation_positive");
  EXPECT_EQ(violated_by(session(", repeats", ", -1")), "sessions_repeats_positive");
  EXPECT_EQ(violated_by(session(", aal", ", 4")), "sessions_aal_range");
  EXPECT_EQ(violated_by(session(", amr", ", '{}'")), "sessions_amr_array");
  EXPECT_EQ(violated_by(session(", user_agent", ", repeat('x', 513)")), "sessions_user_agent_length");
  EXPECT_EQ(violated_by(session(", revoke_reason", ", 1")), "sessions_revocation");
  EXPECT_EQ(state_of(session("", "", "uuid7('2001-01-01')")), "23514");
  ASSERT_EQ(state_of(session()), "");
  EXPECT_EQ(violated_by("UPDATE sessions SET expires_at = absolute_expires_at + interval '1 second'"),
            "sessions_lifetime");
  EXPECT_EQ(violated_by("UPDATE sessions SET absolute_expires_at = 'infinity'"), "sessions_lifetime");
  EXPECT_EQ(violated_by("UPDATE sessions SET refresh_token = '\\x00'"), "sessions_refresh_token_size");
  EXPECT_EQ(violated_by("UPDATE sessions SET account_id = gen_random_uuid()"), "sessions_account_fkey");
}

TEST_F(schema, four_months_of_partitions_are_there_from_the_start) {
  EXPECT_EQ(
      value_of("SELECT string_agg(inhrelid::regclass::text, ',' ORDER BY inhrelid::regclass::text) = "
               "(SELECT string_agg('sessions_' || to_char(date_trunc('month', now() AT TIME ZONE 'UTC') + "
               "make_interval(months => n), 'YYYYMM'), ',' ORDER BY n) FROM generate_series(0, 3) n)"
               " FROM pg_inherits WHERE inhparent = 'sessions'::regclass"),
      "t");
}

TEST_F(schema, session_of_a_month_lands_in_its_partition) {
  add_account();
  const std::string month = "date_trunc('month', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'";
  ASSERT_EQ(state_of(session("", "", "uuid7(" + month + ")")), "");
  ASSERT_EQ(state_of(session("", "", "uuid7(" + month + " + interval '1 month' - interval '1 millisecond')")),
            "");

  EXPECT_EQ(value_of("SELECT bool_and(tableoid::regclass::text = 'sessions_' || to_char(uuid7_time(id) AT "
                     "TIME ZONE 'UTC', 'YYYYMM')) FROM sessions"),
            "t");
}

TEST_F(schema, application_may_make_the_current_and_the_next_partition_and_no_other) {
  ASSERT_TRUE(
      owner_
          .run(
              "DO $$ DECLARE p record; BEGIN FOR p IN SELECT inhrelid::regclass AS name FROM pg_inherits "
              "WHERE inhparent = 'sessions'::regclass LOOP EXECUTE 'DROP TABLE ' || p.name; END LOOP; END $$")
          .has_value());

  const auto first = app_->query("SELECT ensure_sessions_partitions()");
  const auto second = app_->query("SELECT ensure_sessions_partitions()");

  ASSERT_TRUE(first.has_value()) << first.error().detail;
  EXPECT_EQ(first->values[0][0], "2");
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->values[0][0], "0");
  EXPECT_EQ(
      value_of("SELECT string_agg(inhrelid::regclass::text, ',' ORDER BY inhrelid::regclass::text) = "
               "to_char(now() AT TIME ZONE 'UTC', '\"sessions_\"YYYYMM') || to_char(date_trunc('month', "
               "now() AT TIME ZONE 'UTC') + interval '1 month', '\",sessions_\"YYYYMM')"
               " FROM pg_inherits WHERE inhparent = 'sessions'::regclass"),
      "t");
  add_account();
  EXPECT_EQ(state_of(session()), "");
}

TEST_F(schema, two_callers_may_make_the_partition_at_the_same_time) {
  const std::string drop =
      "DROP TABLE sessions_" + value_of("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')");
  ASSERT_TRUE(owner_.run(drop).has_value());
  ASSERT_TRUE(owner_.run("BEGIN; SELECT make_sessions_partition(now())").has_value());

  const std::string waiting = state_of("SELECT ensure_sessions_partitions()");
  ASSERT_TRUE(owner_.run("COMMIT").has_value());

  EXPECT_EQ(waiting, "55P03");
  EXPECT_EQ(state_of("SELECT ensure_sessions_partitions()"), "");
}

TEST_F(schema, partition_function_ignores_the_callers_search_path) {
  const std::string drop =
      "DROP TABLE sessions_" + value_of("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMM')");
  ASSERT_TRUE(owner_.run(drop).has_value());
  ASSERT_EQ(state_of("CREATE TEMP TABLE sessions (id int)"), "");
  ASSERT_EQ(state_of("CREATE FUNCTION pg_temp.date_trunc(text, timestamp) RETURNS timestamp LANGUAGE sql AS "
                     "'SELECT ''2001-01-01''::timestamp'; SET search_path = pg_temp, public"),
            "");

  EXPECT_EQ(state_of("SELECT public.ensure_sessions_partitions()"), "");
  EXPECT_EQ(value_of("SELECT count(*) FROM pg_class WHERE relname = 'sessions_200101'"), "0");
}

constexpr const char* refresh_body =
    " (uuid, uuid, bytea, bytea, int, timestamptz, timestamptz) AS UPDATE sessions SET refresh_token=$4, "
    "generation=generation+1, refreshed_at=greatest(refreshed_at,$7), repeats=0, expires_at=least($6, "
    "absolute_expires_at) WHERE account_id=$1 AND id=$2 AND refresh_token=$3 AND generation=$5 AND "
    "revoked_at IS "
    "NULL AND expires_at>$7 AND EXISTS (SELECT 1 FROM accounts a WHERE a.id=$1 AND a.deleted_at IS NULL AND "
    "(a.banned_until IS NULL OR a.banned_until<=$7)) RETURNING generation";

TEST_F(schema, refresh_touches_one_partition) {
  add_account();
  ASSERT_EQ(state_of(session()), "");
  ASSERT_EQ(state_of(std::string{"PREPARE refresh"} + refresh_body), "");
  const std::string id = value_of("SELECT id FROM sessions");

  const auto plan = app_->query("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE refresh ('" +
                                std::string{account} + "', '" + id + "', " + hash +
                                ", decode(repeat('cd', 32), 'hex'), 0, now() + interval '30 days', now())");

  ASSERT_TRUE(plan.has_value()) << plan.error().detail;
  std::string text;
  for (const db::text_row& row : plan->values) text += row[0].value_or("") + "\n";
  EXPECT_THAT(text, HasSubstr("Subplans Removed: 3")) << text;
  EXPECT_EQ(value_of("SELECT generation FROM sessions"), "1");
}

TEST_F(schema, thousand_refreshes_of_a_session_are_hot) {
  add_account();
  ASSERT_EQ(state_of(session()), "");
  ASSERT_EQ(state_of("SET synchronous_commit = off"), "");
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(
        state_of("UPDATE sessions SET generation = generation + 1, refresh_token = " + std::string{hash} +
                 ", refreshed_at = clock_timestamp(), expires_at = least(now() + interval '30 days', "
                 "absolute_expires_at)"),
        "");
  }
  EXPECT_EQ(counted_updates("sessions_%", "1000"), "1000 1000");
}

TEST_F(schema, failed_sign_ins_of_an_account_are_hot) {
  add_account();
  ASSERT_EQ(state_of("SET synchronous_commit = off"), "");
  for (int i = 0; i < 100; ++i)
    ASSERT_EQ(state_of("UPDATE accounts SET failed_count = failed_count + 1, updated_at = now()"), "");

  EXPECT_EQ(counted_updates("accounts", "100"), "100 100");
}

/// Of sessions and its partitions: what ANALYZE samples, when autovacuum comes, and how new ones are made.
std::string upkeep_of(db::admin_connection& owner) {
  const auto found = owner.query(
      "SELECT string_agg(facts, E'\\n' ORDER BY facts) FROM ("
      "SELECT c.relname || ARRAY(SELECT concat_ws(' ', a.attname, coalesce(a.attstattarget, -1)) FROM "
      "pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 ORDER BY 1)::text || "
      "ARRAY(SELECT unnest(c.reloptions) ORDER BY 1)::text AS facts FROM pg_class AS c "
      "WHERE c.relkind IN ('r', 'p') AND c.relname ~ '^sessions' "
      "UNION ALL SELECT storage FROM partition_rules "
      "UNION ALL SELECT prosrc FROM pg_proc WHERE proname = 'make_partition') AS f");
  return found.has_value() ? found->values[0][0].value_or("NULL") : found.error().detail;
}

TEST_F(schema, sessions_are_analyzed_as_before_when_their_migration_is_taken_back) {
  constexpr int before = 21;
  const tests::test_database another;
  auto elder = another.open();
  migration_options to_before;
  to_before.target = before;
  ASSERT_TRUE(migrate_up(elder, to_before).has_value());
  const std::string now = upkeep_of(owner_);

  const auto down = migrate_down(owner_, before, {});

  ASSERT_TRUE(down.has_value()) << down.error().sentence;
  EXPECT_NE(now, upkeep_of(elder));
  EXPECT_EQ(upkeep_of(owner_), upkeep_of(elder));
}

TEST_F(schema, columns_of_sessions_that_no_statement_asks_for_are_not_sampled) {
  add_account();
  ASSERT_EQ(state_of(session()), "");

  ASSERT_TRUE(owner_.run("ANALYZE sessions").has_value());

  for (const std::string table : {"'sessions'", "partition_name('sessions', 'month', now())"}) {
    EXPECT_EQ(
        value_of("SELECT string_agg(attname, ' ' ORDER BY attname) FROM pg_stats WHERE tablename = " + table),
        "account_id client_id created_at expires_at id refreshed_at revoked_at")
        << table;
  }
}

struct broken_schema {
  const char* name;
  const char* damage;
  const char* sentence;
};

class damaged : public schema, public testing::WithParamInterface<broken_schema> {};

TEST_P(damaged, schema_is_found_by_its_verification) {
  ASSERT_TRUE(owner_.run(GetParam().damage).has_value());

  const auto done = migrate_verify(owner_, {});

  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().sentence, HasSubstr(GetParam().sentence));
}

INSTANTIATE_TEST_SUITE_P(
    schema, damaged,
    testing::Values(
        broken_schema{"constraint_dropped", "ALTER TABLE accounts DROP CONSTRAINT accounts_credentials",
                      "The table accounts has no valid constraint accounts_credentials."},
        broken_schema{"too_many_rights", "GRANT TRUNCATE ON sessions TO pam_app",
                      "The role pam_app has more than SELECT, INSERT, UPDATE and DELETE on sessions."},
        broken_schema{"hash_readable", "GRANT SELECT ON accounts TO pam_report",
                      "The role pam_report can read password hashes."},
        broken_schema{"index_on_hot_column", "CREATE INDEX ON sessions (expires_at)",
                      "names a column that a refresh changes"},
        broken_schema{"default_partition", "CREATE TABLE sessions_rest PARTITION OF sessions DEFAULT",
                      "is a DEFAULT partition"},
        broken_schema{"cascade_lost", "ALTER TABLE identities DROP CONSTRAINT identities_account_fkey",
                      "The identities no longer go with their account"},
        broken_schema{"ledger_writable", "GRANT DELETE ON schema_migrations TO pam_app", "only to read it"},
        broken_schema{"schema_open", "GRANT CREATE ON SCHEMA public TO PUBLIC",
                      "The role pam_app may create objects in the schema public"},
        broken_schema{"column_sampled_in_vain", "ALTER TABLE sessions ALTER COLUMN ip SET STATISTICS -1",
                      "samples ip, which no statement asks for"},
        broken_schema{
            "analyzed_often",
            "DO $$ BEGIN EXECUTE format('ALTER TABLE %I SET (autovacuum_analyze_scale_factor = 0.02)', "
            "partition_name('sessions', 'month', now())); END $$",
            "is analyzed before its rows were refreshed once"},
        broken_schema{"next_one_analyzed_often",
                      "UPDATE partition_rules SET storage = 'fillfactor = 70' WHERE parent = 'sessions'",
                      "The next partition of sessions would be analyzed before"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pam::cli
