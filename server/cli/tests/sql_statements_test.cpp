#include "server/cli/sql_statements.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "migrations/migration.hpp"
#include "server/cli/progress_line.hpp"

namespace pam::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(split_statements, knows_quotes_comments_and_dollar_quotes) {
  EXPECT_THAT(
      split_statements("-- a; b\nSELECT 1; /* x; /* y; */ */ SELECT ';', E'\\';', \"a;b\" ;\n"
                       "DO $x$ BEGIN; $$ ; END $x$; SELECT $1;"),
      ElementsAre("SELECT 1", "SELECT ';', E'\\';', \"a;b\"", "DO $x$ BEGIN; $$ ; END $x$", "SELECT $1"));
}

TEST(split_statements, of_an_unfinished_script_loses_nothing_and_ends) {
  EXPECT_THAT(split_statements("SELECT 'open"), ElementsAre("SELECT 'open"));
  EXPECT_THAT(split_statements("SELECT $$open"), ElementsAre("SELECT $$open"));
  EXPECT_THAT(split_statements("SELECT 1 /* open"), ElementsAre("SELECT 1"));
  EXPECT_THAT(split_statements(" ;; \n"), ElementsAre());
}

struct expectation {
  const char* statement;
  table_lock lock;
  table_work work;
  const char* table;
};

class forecast_of : public testing::TestWithParam<expectation> {};

TEST_P(forecast_of, one_statement_is_right) {
  const auto all = forecast_script(GetParam().statement);

  ASSERT_EQ(all.size(), 1U);
  EXPECT_EQ(to_string(all[0].lock), to_string(GetParam().lock)) << GetParam().statement;
  EXPECT_EQ(all[0].work, GetParam().work) << GetParam().statement;
  EXPECT_EQ(all[0].table, GetParam().table) << GetParam().statement;
}

using enum table_lock;

INSTANTIATE_TEST_SUITE_P(
    statements, forecast_of,
    testing::Values(
        expectation{"CREATE TABLE public.t (id int)", none, table_work::nothing, ""},
        expectation{"CREATE TABLE t (a uuid REFERENCES public.accounts (id))", share_row_exclusive,
                    table_work::nothing, "accounts"},
        expectation{"CREATE TABLE s1 PARTITION OF sessions DEFAULT", access_exclusive, table_work::nothing,
                    "sessions"},
        expectation{"CREATE INDEX i ON public.accounts (role)", share, table_work::build, "accounts"},
        expectation{"CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY public.accounts USING gin (metadata)",
                    share_update_exclusive, table_work::build, "accounts"},
        expectation{"ALTER TABLE accounts ADD COLUMN locale text", access_exclusive, table_work::nothing,
                    "accounts"},
        expectation{"ALTER TABLE accounts ADD locale uuid NOT NULL DEFAULT gen_random_uuid()",
                    access_exclusive, table_work::rewrite, "accounts"},
        expectation{"ALTER TABLE accounts ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID", access_exclusive,
                    table_work::nothing, "accounts"},
        expectation{"ALTER TABLE accounts ADD CONSTRAINT c CHECK (a <> '')", access_exclusive,
                    table_work::scan, "accounts"},
        expectation{"ALTER TABLE accounts VALIDATE CONSTRAINT c", share_update_exclusive, table_work::scan,
                    "accounts"},
        expectation{"ALTER TABLE ONLY accounts ALTER COLUMN a SET NOT NULL", access_exclusive,
                    table_work::scan, "accounts"},
        expectation{"ALTER TABLE accounts ALTER a TYPE bigint USING (a::bigint), ADD b int", access_exclusive,
                    table_work::rewrite, "accounts"},
        expectation{"ALTER TABLE accounts ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES t (id) NOT VALID",
                    share_row_exclusive, table_work::nothing, "accounts"},
        expectation{"ALTER TABLE accounts ADD CONSTRAINT u UNIQUE USING INDEX i", access_exclusive,
                    table_work::nothing, "accounts"},
        expectation{"ALTER TABLE accounts SET (fillfactor = 80)", share_update_exclusive, table_work::nothing,
                    "accounts"},
        expectation{"ALTER TABLE sessions DETACH PARTITION s1 CONCURRENTLY", share_update_exclusive,
                    table_work::nothing, "sessions"},
        expectation{"ALTER TABLE sessions DETACH PARTITION s1", access_exclusive, table_work::nothing,
                    "sessions"},
        expectation{"ALTER TABLE sessions ATTACH PARTITION s1 FOR VALUES FROM (1) TO (2)",
                    share_update_exclusive, table_work::nothing, "sessions"},
        expectation{"DROP TABLE IF EXISTS public.outbox", access_exclusive, table_work::nothing, "outbox"},
        expectation{"UPDATE accounts SET a = 1", row_exclusive, table_work::rows, "accounts"},
        expectation{"WITH b AS (SELECT 1) UPDATE accounts SET a = 1", row_exclusive, table_work::rows,
                    "accounts"},
        expectation{"REFRESH MATERIALIZED VIEW CONCURRENTLY report_active", share_update_exclusive,
                    table_work::rewrite, "report_active"},
        expectation{"GRANT SELECT ON accounts TO pam_app", none, table_work::nothing, ""},
        expectation{"DO $$ BEGIN DROP TABLE accounts; END $$", unknown, table_work::nothing, ""}));

TEST(forecast_script, tables_the_script_makes_are_nobody_elses) {
  const auto all = forecast_script("CREATE TABLE t (id int); CREATE INDEX ON t (id); UPDATE t SET id = 1;");

  ASSERT_EQ(all.size(), 3U);
  for (const forecast& each : all) EXPECT_EQ(each.lock, table_lock::none) << each.statement;
}

TEST(forecast_script, no_migration_up_locks_everybody_out_of_a_table_that_is_in_use) {
  for (const auto& what : migrations::embedded_migrations()) {
    for (const forecast& each : forecast_script(what.up)) {
      if (each.lock == table_lock::unknown || each.table == "schema_migrations") continue;
      EXPECT_TRUE(each.lock != table_lock::access_exclusive || each.work == table_work::nothing)
          << what.name << ": " << each.statement;
    }
  }
}

TEST(progress_line, tells_rate_and_time_left) {
  const row_progress at{.name = "0021_fill",
                        .done = 120'000,
                        .estimated = 1'000'000,
                        .done_before = 0,
                        .taken = std::chrono::milliseconds{5'000}};

  EXPECT_EQ(plain_line(at), "0021_fill: 120000 of about 1000000 rows, 12 %, 24000 rows/s, about 0:36 left");
  EXPECT_EQ(terminal_line(at),
            "\r0021_fill [###...........................] 12 %, 24000 rows/s, about 0:36 left\x1b[K");
}

TEST(progress_line, rate_leaves_out_what_an_earlier_run_did) {
  const row_progress at{.name = "f",
                        .done = 900,
                        .estimated = 1'000,
                        .done_before = 800,
                        .taken = std::chrono::milliseconds{1'000}};

  EXPECT_THAT(plain_line(at), HasSubstr(" 100 rows/s, about 0:01 left"));
}

TEST(progress_line, of_an_unknown_or_exceeded_estimate_promises_nothing) {
  EXPECT_EQ(plain_line({.name = "f", .done = 10, .taken = std::chrono::milliseconds{1'000}}),
            "f: 10 rows, 10 rows/s");
  EXPECT_THAT(
      plain_line({.name = "f", .done = 10, .estimated = 5, .taken = std::chrono::milliseconds{1'000}}),
      HasSubstr("10 of about 10 rows, 99 %"));
}

TEST(progress_line, fits_a_narrow_terminal) {
  const row_progress at{
      .name = "0021_fill", .done = 1, .estimated = 2, .taken = std::chrono::milliseconds{10}};

  for (const std::size_t width : {10U, 20U, 40U, 200U})
    EXPECT_LE(terminal_line(at, width).size(), width + 4) << width;
}

}  // namespace
}  // namespace pam::cli
