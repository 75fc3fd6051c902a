// How PostgreSQL carries out every statement of the catalogue, with the plans the server gets: generic (its
// role's setting) and custom. PAM_TEST_ACCOUNTS and PAM_TEST_SESSIONS choose the size, PAM_TEST_PLAN_TABLE a
// file for the table of docs/database.md; the long run is ./dev test --only plans.
// A small table is read as a whole for good reason, so below 100,000 accounts sequential scans are made
// expensive: one that is left has no index to use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/domain/plan_table.hpp"
#include "tests/support/test_database.hpp"

namespace {

using pam::db::pg_type;
using pam::tests::joined;
using pam::tests::parent_of;
using pam::tests::seen_plan;
using pam::tests::table_line;

long size_of(const char* name, long otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtol(given, nullptr, 10);
}

/// What a statement may do that others may not, with the reason. Found by a part of its text.
struct allowance {
  const char* part;
  const char* reason;
  bool sorts = false;
  int partitions = 1;
};
constexpr int any_number = 1'000;
const std::vector<allowance> allowances{
    {"cardinality($1))) k WHERE sessions.id", "a partition for each of the callers; sorts what it answers",
     true, 2},
    {"AND id <> $2 AND id >= $5", "ends sessions of every age", false, any_number},
    {"s.account_id = $1 AND s.id >= $2", "lists sessions of every age: few rows, a sort is as good", true,
     any_number},
    {"s.account_id = k.p1 AND s.id >= k.p2", "likewise, for each of the callers", true, any_number},
    {"e.account_id = $8", "an account's events of a time, in the primary key's order", true, any_number},
    {"e.geo <@", "a rectangle's events of a time", true, any_number},
    {"e.geo <->", "the nearest events of a time", true, any_number},
    {"ORDER BY e.occurred_at DESC", "sorts the window BRIN finds", true, any_number},
    {"NOT success AND occurred_at > $8", "a minute may lie in two months", false, 2},
    {"partition_state", "asks the catalogue", true, any_number},
    {"a.metadata @>", "sorts what the GIN index found", true, 1},
    {"FROM report_", "a report is small and has its own order", true, 1},
};

const allowance& allowance_of(std::string_view sql) {
  static const allowance none{"", "", false, 1};
  for (const allowance& each : allowances)
    if (sql.find(each.part) != std::string_view::npos) return each;
  return none;
}

const std::set<std::string> small_tables{
    "partition_rules",      "app_instances",       "maintenance_steps",
    "signing_keys",         "import_jobs",         "schema_migrations",
    "schema_backfills",     "token_cut",           "pg_class",
    "report_active",        "report_daily_events", "report_daily_sessions",
    "report_daily_sign_ups"};

class plans : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    database_ = std::make_unique<pam::tests::test_database>();
    auto owner = database_->open();
    const auto migrated = pam::cli::migrate_up(owner, {});
    ASSERT_TRUE(migrated.has_value()) << migrated.error().sentence;
    const auto filled = owner.run(fill_script());
    ASSERT_TRUE(filled.has_value()) << filled.error().detail;
    ASSERT_TRUE(owner.run("VACUUM ANALYZE").has_value());
    for (const std::string& each :
         column_of("SELECT relname FROM pg_class WHERE relkind = 'r' AND relpages = 0"))
      empty_.insert(each);
  }
  static void TearDownTestSuite() { database_.reset(); }

  static std::string fill_script() {
    const std::string accounts = std::to_string(account_count);
    const std::string sessions = std::to_string(session_count);
    return "SET synchronous_commit = off; SET session_replication_role = replica;"  // no foreign key checks
           "SELECT make_partition(t, now() - make_interval(months => n)) FROM unnest(ARRAY['sessions', "
           "'auth_events']) t, generate_series(1, 4) n;"
           "INSERT INTO accounts (id, email, hashed_password, metadata, created_at) SELECT "
           "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, 'u' || n || '@example.com', 'h', "
           "CASE WHEN n % 1000 = 0 THEN '{\"plan\": \"pro\"}' ELSE '{}' END::jsonb, "
           "now() - n "
           "* interval '1 second' FROM generate_series(1, " +
           accounts +
           ") n;"
           "INSERT INTO claims SELECT 'email', email, id, now() FROM accounts;"
           "INSERT INTO identities (account_id, id, provider, provider_id, identity_data) SELECT id, id, "
           "'email', "
           "id::text, '{}' FROM accounts;"
           "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, "
           "created_at, "
           "refreshed_at) SELECT uuid7(m), ('00000000-0000-7000-8000-' || lpad(to_hex(1 + n % " +
           accounts +
           "), 12, '0'))::uuid, decode(repeat('ab', 32), 'hex'), now() + interval '30 days', now() + "
           "interval '90 "
           "days', m, m FROM (SELECT n, now() - (n % 120) * interval '1 day' AS m FROM generate_series(1, " +
           sessions +
           ") n) AS s;"
           "INSERT INTO auth_events (account_id, occurred_at, id, kind, success, geo) SELECT "
           "('00000000-0000-7000-8000-' || lpad(to_hex(1 + n % " +
           accounts + "), 12, '0'))::uuid, now() - interval '120 days' * (1 - n::float8 / " + sessions +
           "), uuid7(), CASE WHEN n % 10 = 0 THEN 'sign_in_failed' ELSE 'sign_in' END, n % 10 <> 0, CASE "
           "WHEN n % 3 = 0 THEN point(n % 360 - 180, n % 180 - 90) "
           "END FROM "
           "generate_series(1, " +
           sessions +
           ") n;"
           "INSERT INTO factors (account_id, id, kind, secret, created_at, updated_at) SELECT id, id, "
           "'totp', "
           "'0123456789abcdef', now(), now() FROM accounts LIMIT 20000;"
           "INSERT INTO recovery_codes SELECT id, id, decode(repeat('ab', 32), 'hex'), NULL, now() FROM "
           "accounts LIMIT "
           "20000;"
           "INSERT INTO one_time_tokens (id, account_id, purpose, token_hash, expires_at, created_at) SELECT "
           "uuid7(), id, "
           "'recovery', decode(repeat('ab', 32), 'hex'), now(), now() FROM accounts LIMIT 20000;"
           "INSERT INTO flow_states (id, kind, expires_at, created_at) SELECT uuid7(), 'pkce', now(), now() "
           "FROM accounts "
           "LIMIT 20000;"
           "INSERT INTO outbox (bucket, id, account_id, kind, payload, due_at, created_at) SELECT "
           "hashtext(id::text) & 63, "
           "uuid7(), id, 'mail', 'x', now(), now() FROM accounts LIMIT 20000";
  }

  /// A literal for a parameter: by the column it is compared with, else by its type.
  static std::string value_for(const pam::db::statement& what, std::size_t number) {
    const std::string sql{what.sql};
    const std::string mark = "\\$" + std::to_string(number) + "(?![0-9])";
    std::smatch at;
    std::string table;
    std::string column;
    std::string comparison;
    if (std::regex_search(sql, at, std::regex{R"((?:(\w+)\.)?(\w+)\s*(=|<>|>=|<=|<|>)\s*)" + mark})) {
      table = at[1];
      column = at[2];
      comparison = at[3];
    }
    switch (what.parameter_types[number - 1]) {
      case pg_type::uuid:
        if (comparison == ">=") return "uuid7_floor(now() - interval '10 days')";
        // A sign-up that is sent again: its account and its identity, which have one id here, are there.
        if (sql.starts_with("WITH claim AS") && (number == 1 || number == 10)) return account;
        if (column == "account_id" || table == "a" || table == "accounts") return account;
        if (column == "id" && table.empty() && sql.find("sessions") == std::string::npos) return account;
        if (column == "id")
          return "(SELECT id FROM sessions WHERE account_id = " + account + " ORDER BY id DESC LIMIT 1)";
        return "uuid7()";
      case pg_type::timestamptz:
        return comparison == ">=" || comparison == ">"
                   ? column == "occurred_at" ? "now() - interval '1 hour'" : "now()"
                   : "now()";
      case pg_type::text:
        if (sql.find("FROM report_") != std::string::npos) return "''";
        if (column == "value") return "'u7@example.com'";
        if (sql.find("$" + std::to_string(number) + "::text::box") != std::string::npos)
          return "'(10,50),(9,49)'";
        if (sql.find("$" + std::to_string(number) + "::text::point") != std::string::npos) return "'(10,50)'";
        if (column == "kind" || column == "provider" || column == "purpose") return "'sign_in'";
        return "'text'";
      case pg_type::bytea:
        return "decode(repeat('ab', 32), 'hex')";
      case pg_type::jsonb:
        if (sql.find("a.metadata @>") != std::string::npos) return R"('{"plan": "pro"}')";
        return sql.find("amr") != std::string::npos && number > 8 ? "'[]'" : "'{}'";
      case pg_type::inet:
        return "'192.0.2.1'";
      case pg_type::boolean:
        return "true";
      case pg_type::text_array:
        return "'{}'";
      case pg_type::bytea_array:
        return "ARRAY[decode(repeat('ab', 32), 'hex'), decode(repeat('ab', 32), 'hex')]";
      case pg_type::int4_array:
        return "'{0, 0}'";
      case pg_type::int8_array:
        return "'{}'";
      case pg_type::timestamptz_array:
        return "ARRAY[now(), now()]";
      case pg_type::uuid_array:  // of statements for several callers: accounts, then their sessions
        if (number == 1) return std::string{"ARRAY["} + account + ", " + account + "]";
        if (sql.find(">= k.p" + std::to_string(number)) != std::string::npos)
          return "ARRAY[uuid7_floor(now() - interval '10 days'), uuid7_floor(now() - interval '10 days')]";
        return "ARRAY(SELECT id FROM sessions WHERE account_id = " + account + " ORDER BY id DESC LIMIT 2)";
      case pg_type::int2:
      case pg_type::int4:
      case pg_type::int8:
        break;
    }
    return column == "generation" ? "0" : "5";
  }

  static std::string type_name(pg_type type) {
    static const std::map<pg_type, std::string> names{{pg_type::boolean, "boolean"},
                                                      {pg_type::bytea, "bytea"},
                                                      {pg_type::int8, "bigint"},
                                                      {pg_type::int2, "smallint"},
                                                      {pg_type::int4, "int"},
                                                      {pg_type::text, "text"},
                                                      {pg_type::inet, "inet"},
                                                      {pg_type::timestamptz, "timestamptz"},
                                                      {pg_type::uuid, "uuid"},
                                                      {pg_type::jsonb, "jsonb"},
                                                      {pg_type::text_array, "text[]"},
                                                      {pg_type::uuid_array, "uuid[]"},
                                                      {pg_type::bytea_array, "bytea[]"},
                                                      {pg_type::int4_array, "int[]"},
                                                      {pg_type::int8_array, "bigint[]"},
                                                      {pg_type::timestamptz_array, "timestamptz[]"}};
    return names.at(type);
  }

  /// Carries the statement out, takes it back, and reads the plan.
  static seen_plan plan_of(const pam::db::statement& what, const std::string& mode) {
    auto app = database_->open("pam_app");
    std::string types;
    std::string values;
    for (std::size_t n = 1; n <= what.parameter_count; ++n) {
      types += (n > 1 ? ", " : "") + type_name(what.parameter_types[n - 1]);
      auto owner = database_->open();
      const auto value =
          owner.query("SELECT (" + value_for(what, n) + ")::" + type_name(what.parameter_types[n - 1]));
      if (value.has_error()) throw std::runtime_error(std::string{what.sql} + ": " + value.error().detail);
      values += (n > 1 ? ", " : "") +
                (value->values[0][0] ? pam::db::quote_literal(*value->values[0][0]) : std::string{"NULL"});
    }
    const std::string list = types.empty() ? "" : "(" + types + ")";
    const std::string arguments = values.empty() ? "" : "(" + values + ")";
    auto ready =
        app.run("SET plan_cache_mode = " + mode + "; SET lock_timeout = '5s'; SET statement_timeout = '60s'" +
                (account_count < 100'000 ? "; SET enable_seqscan = off" : "") + "; BEGIN; PREPARE p" + list +
                " AS " + std::string{what.sql});
    if (ready.has_error()) throw std::runtime_error(std::string{what.sql} + ": " + ready.error().detail);
    const std::string explain =
        "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS ON) EXECUTE p" + arguments;
    // The first time fills the connection's own caches, which is no cost of the statement.
    const auto first = app.run("SAVEPOINT once; " + explain + "; ROLLBACK TO once");
    if (first.has_error()) throw std::runtime_error(std::string{what.sql} + ": " + first.error().detail);
    const auto lines = app.query(explain);
    if (lines.has_error()) throw std::runtime_error(std::string{what.sql} + ": " + lines.error().detail);
    seen_plan plan;
    const std::regex scan{
        R"((Seq Scan|Index Scan|Index Only Scan|Bitmap Heap Scan|Bitmap Index Scan)( Backward)?( using (\S+))? on (\S+))"};
    for (const auto& row : lines->values) {
      const std::string line = row[0].value_or("");
      plan.text += line + "\n";
      std::smatch pages;
      if (plan.buffers.empty() &&
          std::regex_search(line, pages, std::regex{R"(Buffers: shared (?:hit=(\d+))?\s*(?:read=(\d+))?)"}))
        plan.buffers = std::to_string((pages[1].matched ? std::stol(pages[1]) : 0) +
                                      (pages[2].matched ? std::stol(pages[2]) : 0));
      if (line.find("never executed") != std::string::npos) continue;
      if (std::regex_search(line, std::regex{R"(^\s*(->\s+)?(Incremental )?Sort\s+\()"}))
        plan.has_sort = true;
      std::smatch at;
      if (!std::regex_search(line, at, scan)) continue;
      if (at[1] == "Bitmap Index Scan") {
        plan.indexes.insert(at[5]);
        continue;
      }
      if (at[4].matched) plan.indexes.insert(at[4]);
      // A partition of the future has no page to read; its first rows bring another plan.
      if (at[1] == "Seq Scan" && !empty_.contains(at[5])) plan.seq_scans.insert(at[5]);
      const std::string relation = at[5];
      if (parent_of(relation) != relation) plan.partitions[parent_of(relation)].insert(relation);
    }
    return plan;
  }

  static std::vector<std::string> column_of(const std::string& query) {
    auto owner = database_->open();
    const auto found = owner.query(query);
    if (found.has_error()) return {"error: " + found.error().detail};
    std::vector<std::string> values;
    for (const auto& row : found->values) values.push_back(row[0].value_or("NULL"));
    return values;
  }

  static inline const long account_count = size_of("PAM_TEST_ACCOUNTS", 5'000);
  static inline const long session_count = size_of("PAM_TEST_SESSIONS", 25'000);
  static inline const std::string account = "'00000000-0000-7000-8000-000000000007'::uuid";
  static inline std::unique_ptr<pam::tests::test_database> database_;
  static inline std::set<std::string> empty_;  ///< tables without a page
};

void expect_good(const pam::db::statement& what, const std::string& mode, const seen_plan& plan) {
  const allowance& allowed = allowance_of(what.sql);
  const std::string where = std::string{what.sql} + "\n" + mode + "\n" + plan.text;
  for (const std::string& relation : plan.seq_scans)
    EXPECT_TRUE(small_tables.contains(parent_of(relation))) << "a sequential scan of " << relation << "\n"
                                                            << where;
  for (const auto& [parent, partitions] : plan.partitions)
    EXPECT_LE(static_cast<int>(partitions.size()), allowed.partitions)
        << parent << ": " << joined(partitions) << "\n"
        << where;
  EXPECT_TRUE(!plan.has_sort || allowed.sorts) << "a sort\n" << where;
}

TEST_F(plans, of_every_statement_use_an_index_one_partition_and_no_sort) {
  const char* table_file = std::getenv("PAM_TEST_PLAN_TABLE");
  std::string table = "| statement | plan | index | partitions | pages |\n|---|---|---|---|---|\n";
  for (const pam::db::statement* what : pam::auth::statement_catalogue()) {
    if (what->sql.find("ensure_partitions") != std::string_view::npos) continue;  // DDL, when there is any
    const seen_plan generic = plan_of(*what, "force_generic_plan");
    const seen_plan custom = plan_of(*what, "force_custom_plan");
    expect_good(*what, "force_generic_plan", generic);
    expect_good(*what, "force_custom_plan", custom);
    const std::string as_generic = table_line(*what, "generic", generic);
    const std::string as_custom = table_line(*what, "custom", custom);
    const bool is_same = generic.indexes == custom.indexes && generic.has_sort == custom.has_sort &&
                         generic.seq_scans == custom.seq_scans && generic.buffers == custom.buffers;
    table += is_same ? table_line(*what, "both", generic) : as_generic + as_custom;
  }
  if (table_file == nullptr) return;
  std::ofstream out{table_file};
  out << table;
  ASSERT_TRUE(out.flush()) << "could not write " << table_file;
}

// The keys outside, whatever the planner takes the tables for: rows are locked in the order of the keys, so
// that two batches cannot deadlock. Tables that were empty, small and never analyzed when it planned.
TEST(plans_for_several_writers, take_the_rows_in_the_order_of_the_keys_on_a_table_of_any_size) {
  pam::tests::test_database database;
  auto owner = database.open();
  ASSERT_TRUE(pam::cli::migrate_up(owner, {}).has_value());
  const auto all = pam::auth::statement_catalogue();
  const auto several = std::ranges::find_if(all, [](const auto* each) {
    return each->opts.rank != pam::db::lock_rank::none && each->sql.find("unnest(") != std::string_view::npos;
  });
  ASSERT_NE(several, all.end());
  const auto must = [&](const std::string& script) {
    const auto done = owner.run(script);
    ASSERT_TRUE(done.has_value()) << script << ": " << done.error().detail;
  };
  must("SET session_replication_role = replica; SET jit = off");
  // The join right below the UPDATE, and what it reads first.
  const std::regex keys_outside{
      R"(Update on \S+ sessions_[0-9]+\n +->  Nested Loop\n( +Join Filter:[^\n]*\n)? +->  Subquery Scan on k\n)"};
  const auto expect_keys_outside = [&](const std::string& when) {
    must("PREPARE several (uuid[], uuid[], bytea[], bytea[], int[], timestamptz[], timestamptz[]) AS " +
         std::string{(*several)->sql});
    for (const char* mode : {"force_generic_plan", "force_custom_plan"}) {
      must("SET plan_cache_mode = " + std::string{mode});
      const auto lines = owner.query(
          "EXPLAIN (COSTS OFF) EXECUTE several (ARRAY[uuid7(), uuid7()], ARRAY[uuid7(), uuid7()], "
          "ARRAY[''::bytea, ''], ARRAY[''::bytea, ''], '{0, 0}', ARRAY[now(), now()], ARRAY[now(), now()])");
      ASSERT_TRUE(lines.has_value()) << lines.error().detail;
      std::string text;
      for (const auto& row : lines->values) text += row[0].value_or("") + "\n";
      EXPECT_TRUE(std::regex_search(text, keys_outside)) << when << "\n" << mode << "\n" << text;
    }
    must("DEALLOCATE several");
  };

  expect_keys_outside("never analyzed");
  must("VACUUM ANALYZE");
  expect_keys_outside("empty");
  for (const char* const count : {"1", "10", "100", "1000", "10000"}) {
    must(std::string{"TRUNCATE sessions, accounts, identities CASCADE;"
                     "INSERT INTO accounts (id, created_at) SELECT "
                     "('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, now() "
                     "FROM generate_series(1, "} +
         count +
         ") n; INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, "
         "created_at, "
         "refreshed_at) SELECT uuid7(), id, decode(repeat('ab', 32), 'hex'), now() + interval '30 days', "
         "now() + interval '90 days', now(), now() FROM accounts");
    expect_keys_outside(std::string{count} + " rows, not analyzed");
    must("VACUUM ANALYZE");
    expect_keys_outside(std::string{count} + " rows");
  }
}

// An index costs every writer. A unique one is a rule; any other must serve a statement, or stand here.
TEST_F(plans, every_index_serves_a_statement) {
  const std::map<std::string, std::string> waiting{
      {"accounts_created_at_id_idx", "the administrators' list of accounts"},
      {"one_time_tokens_account_purpose_idx", "codes by mail and message"},
  };
  std::set<std::string> used;
  for (const pam::db::statement* what : pam::auth::statement_catalogue()) {
    if (what->sql.find("ensure_partitions") != std::string_view::npos) continue;
    for (const std::string mode : {"force_generic_plan", "force_custom_plan"}) {
      const auto indexes = plan_of(*what, mode).indexes;
      used.insert(indexes.begin(), indexes.end());
    }
  }
  std::set<std::string> parents;
  for (const std::string& name : used) {
    parents.insert(name);
    const auto parent = column_of(
        "SELECT p.relname FROM pg_inherits AS i JOIN pg_class AS p ON p.oid = i.inhparent WHERE i.inhrelid = "
        "to_regclass('public." +
        name + "')");
    parents.insert(parent.begin(), parent.end());
  }
  for (const std::string& index : column_of("SELECT c.relname FROM pg_index AS i JOIN pg_class AS c ON c.oid "
                                            "= i.indexrelid JOIN pg_class AS t ON "
                                            "t.oid = i.indrelid WHERE c.relnamespace = "
                                            "'public'::regnamespace AND NOT i.indisunique AND t.relkind "
                                            "IN ('r', 'p') AND NOT t.relispartition")) {
    EXPECT_TRUE(parents.contains(index) || waiting.contains(index)) << index << " serves no statement";
    EXPECT_FALSE(parents.contains(index) && waiting.contains(index)) << index << " waits no longer";
  }
}

}  // namespace
