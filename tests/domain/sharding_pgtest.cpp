// Every table and statement keeps the rules of a sharded database (docs/database.md) from the first migration
// on, so that phase 3 is a change of keys and no change of code.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <regex>

#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/domain/shard_rules.hpp"
#include "tests/support/test_database.hpp"

namespace {

using pam::tests::phase_3_keys;
using pam::tests::shard_breaches;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

class sharding : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    database_ = std::make_unique<pam::tests::test_database>();
    auto owner = database_->open();
    const auto migrated = pam::cli::migrate_up(owner, {});
    ASSERT_TRUE(migrated.has_value()) << migrated.error().sentence;
  }
  static void TearDownTestSuite() { database_.reset(); }

  /// The breaches of a schema that `change` made, which is taken back.
  static std::vector<std::string> breaches_after(const std::string& change) {
    auto owner = database_->open();
    const auto changed = owner.run("BEGIN; " + change);
    if (changed.has_error()) return {"error: " + changed.error().detail};
    return shard_breaches(owner);
  }

  static inline std::unique_ptr<pam::tests::test_database> database_;
};

TEST_F(sharding, tables_break_the_rules_by_the_three_keys_that_phase_3_changes_and_no_other) {
  auto owner = database_->open();

  EXPECT_THAT(shard_breaches(owner), ElementsAre("accounts: accounts_email_key lacks id",
                                                 "one_time_tokens: one_time_tokens_pkey lacks account_id",
                                                 "sessions: sessions_pkey lacks account_id"));
}

TEST_F(sharding, with_the_keys_of_phase_3_no_rule_is_broken) {
  EXPECT_THAT(breaches_after(phase_3_keys), IsEmpty());
}

struct unfit_schema {
  const char* name;
  const char* change;
  const char* breach;
};

class unfit : public sharding, public testing::WithParamInterface<unfit_schema> {};

TEST_P(unfit, schema_is_named) {
  EXPECT_THAT(breaches_after(std::string{phase_3_keys} + "; " + GetParam().change),
              Contains(GetParam().breach));
}

INSTANTIATE_TEST_SUITE_P(
    sharding, unfit,
    testing::Values(
        unfit_schema{"unknown_table", "CREATE TABLE wishes (id uuid PRIMARY KEY)",
                     "wishes: is placed nowhere"},
        unfit_schema{"lost_table", "DROP TABLE import_jobs", "import_jobs: is placed and not there"},
        unfit_schema{"lost_column", "ALTER TABLE flow_states RENAME COLUMN id TO key",
                     "flow_states: has no column id"},
        unfit_schema{
            "nullable_column",
            "ALTER TABLE flow_states RENAME COLUMN id TO key; ALTER TABLE flow_states ADD COLUMN id uuid",
            "flow_states: id may be NULL"},
        unfit_schema{"other_type",
                     "ALTER TABLE factors DROP CONSTRAINT factors_account_fkey CASCADE; ALTER TABLE "
                     "webauthn_credentials DROP CONSTRAINT webauthn_credentials_factor_fkey; ALTER TABLE "
                     "factors ALTER "
                     "account_id TYPE text",
                     "factors: account_id has another type than accounts.id"},
        unfit_schema{"no_primary_key", "ALTER TABLE app_instances DROP CONSTRAINT app_instances_pkey",
                     "app_instances: has no primary key"},
        unfit_schema{"unique_constraint",
                     "ALTER TABLE accounts ADD CONSTRAINT accounts_phone_key UNIQUE (phone)",
                     "accounts: accounts_phone_key lacks id"},
        unfit_schema{"unique_index",
                     "CREATE UNIQUE INDEX one_of_them ON factors (friendly_name) INCLUDE (account_id)",
                     "factors: one_of_them lacks account_id"},
        unfit_schema{"unique_expression", "CREATE UNIQUE INDEX one_of_them ON claims (kind, lower(value))",
                     "claims: one_of_them lacks value"},
        unfit_schema{"exclusion",
                     "ALTER TABLE claims ADD CONSTRAINT not_near EXCLUDE USING btree (kind WITH =)",
                     "claims: not_near lacks value"},
        unfit_schema{
            "key_to_another_shard",
            "ALTER TABLE claims ADD CONSTRAINT claims_account_fkey FOREIGN KEY (account_id) REFERENCES "
            "accounts (id)",
            "claims: claims_account_fkey leads to accounts, which lies elsewhere"},
        unfit_schema{
            "key_past_the_column",
            "ALTER TABLE identities ADD CONSTRAINT identities_self_fkey FOREIGN KEY (id) REFERENCES accounts "
            "(id)",
            "identities: identities_self_fkey leads to accounts, which lies elsewhere"},
        unfit_schema{"key_from_a_reference_table",
                     "ALTER TABLE import_jobs ADD CONSTRAINT import_jobs_fkey FOREIGN KEY (id) REFERENCES "
                     "accounts (id)",
                     "import_jobs: import_jobs_fkey leads to accounts, which lies elsewhere"},
        unfit_schema{
            "key_that_moves_rows",
            "ALTER TABLE recovery_codes DROP CONSTRAINT recovery_codes_account_fkey, ADD CONSTRAINT moves "
            "FOREIGN KEY (account_id) REFERENCES accounts (id) ON UPDATE CASCADE",
            "recovery_codes: moves would change the column it is distributed by"},
        unfit_schema{
            "trigger",
            "CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE "
            "TRIGGER touch BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION touch()",
            "accounts: has the trigger touch"},
        unfit_schema{"rule", "CREATE RULE nothing AS ON DELETE TO claims DO INSTEAD NOTHING",
                     "claims: has the rule nothing"},
        unfit_schema{"inheritance",
                     "CREATE TABLE parents (value text COLLATE \"C\"); ALTER TABLE claims INHERIT parents",
                     "claims: inherits from another table"},
        unfit_schema{"sequence", "ALTER TABLE identities ADD COLUMN number bigserial",
                     "identities: number takes its values from a sequence"},
        unfit_schema{"identity_column",
                     "ALTER TABLE claims ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY",
                     "claims: number takes its values from a sequence"}),
    [](const auto& info) { return info.param.name; });

// A key to a reference table is allowed, whoever has it.
TEST_F(sharding, key_to_a_reference_table_is_no_breach) {
  EXPECT_THAT(
      breaches_after(std::string{phase_3_keys} +
                     "; ALTER TABLE factors ADD COLUMN kid varchar(64) REFERENCES signing_keys (kid); ALTER "
                     "TABLE import_jobs ADD COLUMN kid varchar(64) REFERENCES signing_keys (kid)"),
      IsEmpty());
}

/// Why a statement may ask every shard. Found by a part of its text.
struct fan_out {
  const char* part;
  const char* reason;
};
constexpr fan_out fan_outs[] = {
    {"FROM auth_events e WHERE e.occurred_at", "administrators read everybody's log, also by place"},
    {"a.metadata @>", "administrators look for accounts by what their metadata contains"},
};

/// The form for several callers: their rows lie on several shards, and it is never sent to a server that has
/// any (pipeline_core, `mark_runs`).
bool is_for_several(const pam::db::statement& what) {
  return std::ranges::any_of(pam::auth::statement_catalogue(),
                             [&](const pam::db::statement* each) { return each->opts.together == &what; });
}

TEST(statements, ask_one_shard_or_say_why_not) {
  // What reads or changes rows of a distributed table; an INSERT goes where its row belongs by itself.
  for (const pam::db::statement* what : pam::auth::statement_catalogue()) {
    if (is_for_several(*what)) continue;
    const std::string sql{what->sql};
    const bool may_fan_out = std::ranges::any_of(
        fan_outs, [&](const fan_out& each) { return sql.find(each.part) != std::string::npos; });
    for (const pam::tests::placed_table& table : pam::tests::placed_tables) {
      if (table.where != pam::tests::placement::distributed) continue;
      const std::regex use{"(FROM|JOIN|UPDATE) " + std::string{table.name} + "\\b"};
      // The column itself, or that of a table it lies with: one equation places all of a group.
      const std::string column =
          table.group == "accounts" ? "(account_id|a\\.id|accounts\\.id|\\bid)" : std::string{table.column};
      const bool is_placed = std::regex_search(sql, std::regex{column + " = \\$"});
      if (std::regex_search(sql, use)) EXPECT_TRUE(is_placed || may_fan_out) << table.name << ": " << sql;
    }
  }
}

TEST(statements, keep_the_rules_of_a_sharded_database) {
  // Each worker would come to another value, hence Citus refuses it.
  const std::regex volatile_in_update{
      R"(UPDATE[^;]*SET[^;]*(random\(\)|clock_timestamp\(\)|gen_random_uuid\(\)|uuid7\())"};
  const std::regex claims_join{R"(claims\s+\w*\s*JOIN|JOIN\s+claims)"};
  for (const pam::db::statement* what : pam::auth::statement_catalogue()) {
    const std::string sql{what->sql};
    EXPECT_FALSE(std::regex_search(sql, volatile_in_update)) << sql;
    EXPECT_FALSE(std::regex_search(sql, claims_join)) << "claims lie on other shards than accounts: " << sql;
    if (sql.find(" claims ") != std::string::npos && sql.find("INSERT INTO claims") == std::string::npos)
      EXPECT_NE(sql.find("value = $"), std::string::npos) << "claims are found by their value: " << sql;
    if (sql.find("FOR UPDATE") != std::string::npos)
      EXPECT_TRUE(sql.find("account_id = $") != std::string::npos ||
                  sql.find("bucket = $") != std::string::npos)
          << sql;
  }
}

}  // namespace
