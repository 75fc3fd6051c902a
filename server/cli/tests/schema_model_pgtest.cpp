// What the tables beyond accounts and sessions promise: rights, partitions, what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/migration_runner.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

constexpr const char* account = "00000000-0000-4000-8000-000000000001";

/// One migrated database for all tests of this file: what a test writes, it rolls back.
class schema_model : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    database_ = std::make_unique<tests::test_database>();
    auto owner = database_->open();
    const auto done = migrate_up(owner, {});
    ASSERT_TRUE(done.has_value()) << done.error().sentence;
    ASSERT_TRUE(
        owner.run(std::string{"INSERT INTO accounts (id, email) VALUES ('"} + account + "', 'a@example.com')")
            .has_value());
  }
  static void TearDownTestSuite() { database_.reset(); }

  /// SQLSTATE or the violated constraint of a statement run as `role` and rolled back, empty when it worked.
  static std::string refusal(const std::string& statement, const std::string& role = "pam_app") {
    auto connection = database_->open(role);
    const auto done = connection.run("BEGIN; " + statement + "; ROLLBACK");
    if (done.has_value()) return {};
    return done.error().constraint.empty() ? done.error().sqlstate : done.error().constraint;
  }
  static std::vector<std::string> column_of(const std::string& query) {
    auto owner = database_->open();
    const auto found = owner.query(query);
    std::vector<std::string> values;
    if (found.has_error()) return {"error: " + found.error().detail};
    for (const auto& row : found->values) values.push_back(row[0].value_or("NULL"));
    return values;
  }
  static std::vector<std::string> partitioned() {
    return column_of("SELECT parent FROM partition_rules ORDER BY 1");
  }

  static inline std::unique_ptr<tests::test_database> database_;
};

TEST_F(schema_model, no_table_can_be_altered_truncated_or_dropped_by_the_application) {
  const auto tables = column_of(
      "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN "
      "('r', 'p') AND NOT c.relispartition ORDER BY 1");
  ASSERT_GE(tables.size(), 17U);
  for (const std::string& table : tables) {
    EXPECT_EQ(refusal("ALTER TABLE " + table + " ADD COLUMN x int"), "42501") << table;
    EXPECT_EQ(refusal("TRUNCATE " + table + " CASCADE"), "42501") << table;
    EXPECT_EQ(refusal("DROP TABLE " + table + " CASCADE"), "42501") << table;
  }
}

TEST_F(schema_model, audit_log_is_append_only_for_the_application) {
  const std::string event =
      std::string{"INSERT INTO auth_events (account_id, occurred_at, id, kind, success) VALUES ('"} +
      account + "', now(), uuid7(), 'sign_in', true)";

  EXPECT_EQ(refusal(event), "");
  EXPECT_EQ(refusal("UPDATE auth_events SET success = true"), "42501");
  EXPECT_EQ(refusal("DELETE FROM auth_events"), "42501");
}

TEST_F(schema_model, reporter_reads_no_secret_of_any_table) {
  for (const std::string secret :
       {"secret FROM factors", "public_key FROM webauthn_credentials", "code_hash FROM recovery_codes",
        "token_hash FROM one_time_tokens", "secret FROM flow_states", "payload FROM outbox",
        "sealed FROM signing_keys"}) {
    EXPECT_EQ(refusal("SELECT " + secret, "pam_report"), "42501") << secret;
  }
  for (const std::string table : {"auth_events", "report_active", "report_daily_events", "app_instances"}) {
    EXPECT_EQ(refusal("SELECT * FROM " + table, "pam_report"), "") << table;
  }
}

TEST_F(schema_model, every_partitioned_table_has_a_rule_and_three_partitions_ahead) {
  EXPECT_THAT(partitioned(),
              testing::ElementsAre("auth_events", "flow_states", "one_time_tokens", "outbox", "sessions"));
  EXPECT_THAT(column_of("SELECT parent FROM partition_state() WHERE NOT has_current OR NOT has_next OR ahead "
                        "<> 3 OR partitions <> 4 OR is_detach_pending"),
              testing::IsEmpty());
}

TEST_F(schema_model, missing_partitions_of_each_table_are_made_by_the_application_and_no_others) {
  for (const std::string& parent : partitioned()) {
    auto owner = database_->open();
    ASSERT_TRUE(owner
                    .run("DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits WHERE "
                         "inhparent = '" +
                         parent + "'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$")
                    .has_value());
    auto app = database_->open("pam_app");

    const auto made = app.query("SELECT ensure_partitions('" + parent + "')");
    const auto again = app.query("SELECT ensure_partitions('" + parent + "')");

    ASSERT_TRUE(made.has_value()) << parent << ": " << made.error().detail;
    EXPECT_EQ(made->values[0][0], "2") << parent;
    EXPECT_EQ(again->values[0][0], "0") << parent;
    EXPECT_THAT(column_of("SELECT has_current AND ahead = 1 AND partitions = 2 FROM partition_state() WHERE "
                          "parent = '" +
                          parent + "'"),
                testing::ElementsAre("t"));
    EXPECT_EQ(refusal("SELECT make_partition('" + parent + "', now() + interval '100 days')"), "42501");
  }
}

TEST_F(schema_model, partition_of_each_span_holds_its_first_and_its_last_moment) {
  auto owner = database_->open();
  const std::string moment = "'2031-03-15 12:00:00+00'";

  for (const std::string parent : {"outbox", "sessions", "auth_events"}) {
    ASSERT_TRUE(owner.run("SELECT make_partition('" + parent + "', " + moment + ")").has_value()) << parent;
  }

  const std::string mail =
      "INSERT INTO outbox (bucket, id, account_id, kind, payload, due_at, created_at) "
      "VALUES (1, uuid7('2031-03-15 %+00'), gen_random_uuid(), 'mail', 'x', now(), now())";
  const auto at = [&](std::string statement, const std::string& clock) {
    return statement.replace(statement.find('%'), 1, clock);
  };
  EXPECT_EQ(refusal(at(mail, "00:00:00")), "");
  EXPECT_EQ(refusal(at(mail, "23:59:59.999")), "");
  const std::string event =
      "INSERT INTO auth_events (account_id, occurred_at, id, kind, success) VALUES (gen_random_uuid(), "
      "'2031-%+00', uuid7(), 'sign_in', true)";
  EXPECT_EQ(refusal(at(event, "03-01 00:00:00")), "");
  EXPECT_EQ(refusal(at(event, "03-31 23:59:59.999999")), "");
  EXPECT_EQ(refusal(at(event, "04-01 00:00:00")), "23514");
}

TEST_F(schema_model, partition_made_later_has_the_statistics_and_the_storage_of_those_before) {
  auto owner = database_->open();
  for (const std::string& parent : partitioned()) {
    ASSERT_TRUE(
        owner.run("BEGIN; SELECT make_partition('" + parent + "', '2033-03-15 12:00:00+00')").has_value());

    const auto kinds = owner.query(
        "SELECT DISTINCT ARRAY(SELECT a.attname || ' ' || a.attstattarget FROM pg_attribute AS a WHERE "
        "a.attrelid = c.oid AND a.attnum > 0 AND a.attstattarget >= 0 ORDER BY 1)::text || ARRAY(SELECT "
        "unnest(c.reloptions) ORDER BY 1)::text FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = "
        "i.inhrelid WHERE i.inhparent = '" +
        parent + "'::regclass");

    ASSERT_TRUE(owner.run("ROLLBACK").has_value());
    ASSERT_TRUE(kinds.has_value()) << kinds.error().detail;
    ASSERT_EQ(kinds->values.size(), 1U) << parent;
    if (parent == "sessions") {
      EXPECT_EQ(kinds->values[0][0],
                "{\"aal 0\",\"absolute_expires_at 0\",\"account_id 500\",\"amr 0\",\"generation 0\",\"ip "
                "0\",\"refresh_token 0\",\"repeats 0\",\"revoke_reason 0\",\"user_agent 0\"}"
                "{autovacuum_analyze_scale_factor=1,autovacuum_vacuum_cost_delay=1,"
                "autovacuum_vacuum_insert_scale_factor=0.05,autovacuum_vacuum_scale_factor=0.02,"
                "autovacuum_vacuum_threshold=1000,fillfactor=70}");
    }
  }
}

TEST_F(schema_model, partition_is_made_where_its_table_lost_a_column) {
  auto owner = database_->open();

  const auto made = owner.run(
      "BEGIN; ALTER TABLE sessions DROP COLUMN amr; SELECT make_partition('sessions', '2033-03-15 "
      "12:00:00+00')");

  EXPECT_TRUE(made.has_value()) << made.error().detail;
  ASSERT_TRUE(owner.run("ROLLBACK").has_value());
}

TEST_F(schema_model, a_table_without_a_rule_gets_no_partition) {
  EXPECT_EQ(refusal("SELECT ensure_partitions('accounts')"), "22023");
}

TEST_F(schema_model, detached_partition_is_not_counted) {
  auto owner = database_->open();
  ASSERT_TRUE(owner
                  .run("SELECT make_partition('flow_states', now() + make_interval(days => n)) FROM "
                       "generate_series(0, 3) n")
                  .has_value());
  const auto name = column_of("SELECT partition_name('flow_states', 'day', now() + interval '2 days')");
  ASSERT_TRUE(owner.run("ALTER TABLE flow_states DETACH PARTITION " + name[0] + "; DROP TABLE " + name[0])
                  .has_value());

  EXPECT_THAT(column_of("SELECT ahead || ' ' || partitions FROM partition_state() WHERE parent = "
                        "'flow_states'"),
              testing::ElementsAre("1 3"));
}

TEST_F(schema_model, factors_go_with_their_account_and_events_stay) {
  auto owner = database_->open();
  const std::string id = account;
  ASSERT_TRUE(
      owner
          .run("BEGIN; INSERT INTO factors (account_id, id, kind, secret, created_at, updated_at) VALUES ('" +
               id + "', '" + id +
               "', 'totp', '0123456789abcdef', now(), now()); INSERT INTO webauthn_credentials "
               "(account_id, id, credential_id, factor_id, public_key, created_at, updated_at) VALUES ('" +
               id + "', '" + id + "', 'c', '" + id +
               "', 'k', now(), now()); INSERT INTO recovery_codes VALUES ('" + id + "', '" + id +
               "', decode(repeat('ab', 32), 'hex'), NULL, now()); INSERT INTO auth_events (account_id, "
               "occurred_at, id, kind, success) VALUES ('" +
               id + "', now(), uuid7(), 'sign_in', true); DELETE FROM accounts WHERE id = '" + id + "'")
          .has_value());

  const auto left = owner.query(
      "SELECT (SELECT count(*) FROM factors) || ' ' || (SELECT count(*) FROM webauthn_credentials) || ' ' || "
      "(SELECT count(*) FROM recovery_codes) || ' ' || (SELECT count(*) FROM auth_events)");

  ASSERT_TRUE(left.has_value());
  EXPECT_EQ(left->values[0][0], "0 0 0 1");
  ASSERT_TRUE(owner.run("ROLLBACK").has_value());
}

TEST_F(schema_model, reports_are_refreshed_under_their_readers) {
  auto owner = database_->open();
  auto reader = database_->open("pam_report");
  ASSERT_TRUE(reader.run("BEGIN").has_value());

  for (const std::string& view : column_of("SELECT relname FROM pg_class WHERE relkind = 'm' ORDER BY 1")) {
    ASSERT_TRUE(reader.run("SELECT * FROM " + view).has_value()) << view;
    const auto done = owner.run("SET lock_timeout = '1s'; SET ROLE pam_owner");
    ASSERT_TRUE(done.has_value());
    EXPECT_TRUE(owner.run("REFRESH MATERIALIZED VIEW CONCURRENTLY " + view).has_value()) << view;
  }
  ASSERT_TRUE(reader.run("COMMIT").has_value());
  EXPECT_THAT(column_of("SELECT sign_ups || ' ' || with_email FROM report_daily_sign_ups"),
              testing::ElementsAre("1 1"));
  EXPECT_THAT(column_of("SELECT count(*) FROM report_active"), testing::ElementsAre("3"));
}

struct bad_model_row {
  const char* name;
  const char* statement;
  const char* constraint;
};

class bad_row_of : public schema_model, public testing::WithParamInterface<bad_model_row> {};

TEST_P(bad_row_of, the_model_is_rejected) {
  EXPECT_EQ(refusal(GetParam().statement), GetParam().constraint);
}

#define PAM_EVENT(columns, values)                                              \
  "INSERT INTO auth_events (account_id, occurred_at, id, kind, success" columns \
  ") VALUES (gen_random_uuid(),"                                                \
  " now(), gen_random_uuid(), " values ")"

INSTANTIATE_TEST_SUITE_P(
    schema, bad_row_of,
    testing::Values(
        bad_model_row{"event_kind", PAM_EVENT("", "'Sign In', true"), "auth_events_kind_form"},
        bad_model_row{"event_place", PAM_EVENT(", geo", "'sign_in', true, '(181, 0)'"),
                      "auth_events_geo_range"},
        bad_model_row{"event_country", PAM_EVENT(", country", "'sign_in', true, 'at'"),
                      "auth_events_country_form"},
        bad_model_row{"event_detail", PAM_EVENT(", detail", "'sign_in', true, '[]'"),
                      "auth_events_detail_object"},
        bad_model_row{"event_detail_size",
                      PAM_EVENT(", detail", "'sign_in', true, jsonb_build_object('a', repeat('x', 9000))"),
                      "auth_events_detail_size"},
        bad_model_row{"outbox_bucket",
                      "INSERT INTO outbox (bucket, id, account_id, kind, payload, due_at, created_at) VALUES "
                      "(64, uuid7(), gen_random_uuid(), 'mail', 'x', now(), now())",
                      "outbox_bucket_range"},
        bad_model_row{"totp_without_secret",
                      "INSERT INTO factors (account_id, id, kind, created_at, updated_at) VALUES "
                      "('00000000-0000-4000-8000-000000000001', gen_random_uuid(), 'totp', now(), now())",
                      "factors_secret_present"},
        bad_model_row{"factor_of_nobody",
                      "INSERT INTO factors (account_id, id, kind, created_at, updated_at) VALUES "
                      "(gen_random_uuid(), gen_random_uuid(), 'webauthn', now(), now())",
                      "factors_account_fkey"},
        bad_model_row{"short_token_hash",
                      "INSERT INTO one_time_tokens (id, account_id, purpose, token_hash, expires_at, "
                      "created_at) VALUES (uuid7(), gen_random_uuid(), 'recovery', 'x', now(), now())",
                      "one_time_tokens_hash_size"},
        bad_model_row{"key_that_never_verifies",
                      "INSERT INTO signing_keys VALUES ('k', 'access', 'ES256', decode(repeat('ab', 32), "
                      "'hex'), NULL, now(), now(), now() + interval '2 days', now() + interval '1 day')",
                      "signing_keys_order"},
        bad_model_row{"import_beyond_its_lines",
                      "INSERT INTO import_jobs (id, actor, imported, created_at, updated_at) VALUES "
                      "(gen_random_uuid(), 'x', 1, now(), now())",
                      "import_jobs_counts"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pam::cli
