#include "server/cli/migration_runner.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <sstream>
#include <thread>

#include "server/cli/migrate.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

#define PAM_ON "-- tx: on\n-- phase: expand\n-- lock_timeout: 50ms\n-- retries: 200\n"
#define PAM_OFF "-- tx: off\n-- phase: expand\n-- lock_timeout: 50ms\n-- retries: 200\n"
#define PAM_VERIFY(query, sentence) \
  "DO $$ BEGIN IF NOT (" query ") THEN RAISE EXCEPTION '" sentence "'; END IF; END $$"

constexpr migrations::migration make_table{
    1, "make_table", PAM_ON "CREATE TABLE t (id int);", PAM_ON "DROP TABLE t;",
    PAM_VERIFY("to_regclass('public.t') IS NOT NULL", "The table t is missing.")};
constexpr migrations::migration add_column{
    2, "add_column", PAM_ON "ALTER TABLE t ADD COLUMN n int;", PAM_ON "ALTER TABLE t DROP COLUMN n;",
    PAM_VERIFY("EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname = 'n')",
               "The column n is missing.")};
constexpr migrations::migration add_index{
    2, "add_index", PAM_OFF "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS t_id_idx ON t (id);",
    PAM_OFF "DROP INDEX CONCURRENTLY t_id_idx;",
    PAM_VERIFY("(SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('public.t_id_idx'))",
               "The index t_id_idx is not valid.")};

migration_options quick(std::span<const migrations::migration> known) {
  migration_options options;
  options.known = known;
  options.retry_first = milliseconds{1};
  options.retry_limit = milliseconds{20};
  options.runner_poll = milliseconds{5};
  return options;
}

std::string value_of(db::admin_connection& connection, const std::string& query) {
  const auto found = connection.query(query);
  if (found.has_error()) return "error: " + found.error().detail;
  return found->values.at(0).at(0).value_or("NULL");
}

/// The schema by PostgreSQL's own descriptions of it, for servers whose pg_dump is not installed.
std::string describe_schema(const std::string& database) {
  auto connection = tests::connect(tests::direct(database, tests::service("PAM_TEST_PG_SUPERUSER")));
  return value_of(connection, R"(
SELECT string_agg(line, E'\n' ORDER BY line) FROM (
  SELECT 'CREATE TABLE public.' || relname || ' ' || relkind::text || coalesce(relacl::text, '') || coalesce(reloptions::text, '') ||
         pg_get_userbyid(relowner) || coalesce(pg_get_expr(relpartbound, oid), '') || coalesce(pg_get_partkeydef(oid), '')
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm') AND relname <> 'schema_migrations'
  UNION ALL SELECT a.attrelid::regclass::text || '.' || attname || ' ' || format_type(atttypid, atttypmod) || attnotnull::text ||
         coalesce(pg_get_expr(d.adbin, d.adrelid), '') || coalesce(attacl::text, '')
    FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid LEFT JOIN pg_attrdef AS d ON d.adrelid = attrelid AND d.adnum = attnum
   WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND attnum > 0 AND c.relname <> 'schema_migrations'
  UNION ALL SELECT conname || ' ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
   WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'schema_migrations'
  UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
   WHERE c.relnamespace = 'public'::regnamespace AND i.indrelid::regclass::text <> 'schema_migrations'
  UNION ALL SELECT pg_get_functiondef(oid) || coalesce(proacl::text, '') FROM pg_proc WHERE pronamespace = 'public'::regnamespace
  UNION ALL SELECT pg_get_viewdef(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'm'
) AS described (line))");
}

/// The schema of a database as pg_dump prints it, without the random markers of newer versions.
std::string dump_schema(const std::string& database) {
  if (access((tests::service("PAM_TEST_PG_BIN") + "/pg_dump").c_str(), X_OK) != 0)
    return describe_schema(database);
  const std::string command = tests::service("PAM_TEST_PG_BIN") +
                              "/pg_dump --schema-only --host=" + tests::service("PAM_TEST_PG_SOCKET_DIR") +
                              " --port=" + tests::service("PAM_TEST_PG_PORT") +
                              " --username=" + tests::service("PAM_TEST_PG_SUPERUSER") + " " + database;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe{popen(command.c_str(), "re"), pclose};
  std::string text;
  std::array<char, 4096> line{};
  while (fgets(line.data(), line.size(), pipe.get()) != nullptr) {
    const std::string_view read{line.data()};
    if (!read.starts_with("\\restrict") && !read.starts_with("\\unrestrict")) text += read;
  }
  return text;
}

TEST(migrate, up_down_up_gives_the_same_catalogue) {
  const tests::test_database database;
  auto connection = database.open();
  const auto options = quick(migrations::embedded_migrations());
  ASSERT_TRUE(migrate_up(connection, options).has_value());
  ASSERT_TRUE(migrate_verify(connection, options).has_value());
  const std::string first = dump_schema(database.name());

  const auto down = migrate_down(connection, 0, options);
  const std::string empty = dump_schema(database.name());
  const auto again = migrate_up(connection, options);

  ASSERT_TRUE(down.has_value()) << down.error().sentence;
  EXPECT_EQ(down->to, 0);
  EXPECT_THAT(first, HasSubstr("CREATE TABLE public.sessions"));
  EXPECT_THAT(empty, testing::Not(HasSubstr("CREATE TABLE public.accounts")));
  EXPECT_THAT(empty, testing::Not(HasSubstr("CREATE FUNCTION")));
  EXPECT_THAT(empty, testing::Not(HasSubstr("pam_")));
  ASSERT_TRUE(again.has_value()) << again.error().sentence;
  EXPECT_EQ(dump_schema(database.name()), first);
}

TEST(migrate, second_run_does_nothing) {
  const tests::test_database database;
  auto connection = database.open();
  const auto options = quick(migrations::embedded_migrations());
  const auto first = migrate_up(connection, options);

  const auto second = migrate_up(connection, options);

  ASSERT_TRUE(first.has_value()) << first.error().sentence;
  EXPECT_EQ(first->count, static_cast<int>(options.known.size()));
  ASSERT_TRUE(second.has_value()) << second.error().sentence;
  EXPECT_EQ(second->count, 0);
  EXPECT_EQ(second->from, first->to);
}

TEST(migrate, ledger_tells_what_was_applied_by_which_version) {
  const tests::test_database database;
  auto connection = database.open();
  const std::array known{make_table};
  auto options = quick(known);
  options.app_version = "9.8.7";
  ASSERT_TRUE(migrate_up(connection, options).has_value());

  const auto ledger = read_ledger(connection);

  ASSERT_TRUE(ledger.has_value());
  ASSERT_EQ(ledger->size(), 1U);
  EXPECT_EQ(ledger->front().name, "make_table");
  EXPECT_EQ(ledger->front().up_sha256, sha256_hex(make_table.up));
  EXPECT_EQ(ledger->front().down_sha256, sha256_hex(make_table.down));
  EXPECT_EQ(ledger->front().app_version, "9.8.7");
  EXPECT_EQ(ledger->front().state, ledger_state::applied);
}

TEST(migrate, owner_alone_can_migrate_a_database_that_is_his_once_the_roles_exist) {
  const tests::test_database first;
  auto superuser = first.open();
  const auto options = quick(migrations::embedded_migrations());
  ASSERT_TRUE(migrate_up(superuser, options).has_value());
  const tests::test_database second;
  ASSERT_TRUE(superuser.run("ALTER DATABASE " + second.name() + " OWNER TO pam_owner").has_value());
  // Before PostgreSQL 15 the schema public was the superuser's whoever owned the database.
  ASSERT_TRUE(second.open().run("ALTER SCHEMA public OWNER TO pam_owner").has_value());
  auto owner = second.open("pam_owner");

  const auto done = migrate_up(owner, options);
  const auto back = migrate_down(owner, 0, options);

  EXPECT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_TRUE(back.has_value()) << back.error().sentence;
}

TEST(migrate, owner_can_go_on_where_a_superuser_began) {
  const tests::test_database database;
  auto superuser = database.open();
  const auto all = migrations::embedded_migrations();
  ASSERT_TRUE(migrate_up(superuser, quick(all.first(2))).has_value());
  auto owner = database.open("pam_owner");

  const auto done = migrate_up(owner, quick(all));

  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(done->to, static_cast<int>(all.size()));
}

TEST(migrate, two_runners_at_once_apply_everything_exactly_once) {
  const tests::test_database database;
  const auto options = quick(migrations::embedded_migrations());
  std::array<migration_result<migration_report>, 2> reports{migration_error{}, migration_error{}};

  {
    std::vector<std::jthread> runners;
    for (auto& report : reports) {
      runners.emplace_back([&database, &options, &report] {
        auto connection = database.open();
        report = migrate_up(connection, options);
      });
    }
  }

  ASSERT_TRUE(reports[0].has_value()) << reports[0].error().sentence;
  ASSERT_TRUE(reports[1].has_value()) << reports[1].error().sentence;
  EXPECT_EQ(reports[0]->count + reports[1]->count, static_cast<int>(options.known.size()));
}

TEST(migrate, runner_that_waits_too_long_for_another_says_so) {
  const tests::test_database database;
  auto other = database.open();
  auto connection = database.open();
  const std::array known{make_table};
  auto options = quick(known);
  options.runner_wait = milliseconds{0};
  std::optional<migration_result<migration_report>> inner;
  auto outer = quick(known);
  outer.on_progress = [&](const migration_progress& event) {
    if (event.what == migration_progress::step::begun) inner = migrate_up(connection, options);
  };

  const auto done = migrate_up(other, outer);

  ASSERT_TRUE(done.has_value());
  ASSERT_TRUE(inner && inner->has_error());
  EXPECT_EQ(inner->error().code, migration_errc::busy);
  EXPECT_THAT(inner->error().sentence, HasSubstr("Another migration is still running"));
}

TEST(migrate, edited_file_is_refused_and_nothing_runs) {
  const tests::test_database database;
  auto connection = database.open();
  ASSERT_TRUE(migrate_up(connection, quick(std::array{make_table})).has_value());
  migrations::migration edited = make_table;
  edited.up = PAM_ON "CREATE TABLE t (id bigint);";
  const std::array known{edited, add_column};

  const auto done = migrate_up(connection, quick(known));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::edited);
  EXPECT_EQ(value_of(connection, "SELECT count(*) FROM schema_migrations"), "1");
}

TEST(migrate, newer_database_is_refused) {
  const tests::test_database database;
  auto connection = database.open();
  const std::array two{make_table, add_column};
  ASSERT_TRUE(migrate_up(connection, quick(two)).has_value());

  const auto done = migrate_up(connection, quick(std::array{make_table}));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::newer);
}

TEST(migrate, locked_table_is_tried_again_and_readers_are_not_queued_for_long) {
  const tests::test_database database;
  auto connection = database.open();
  auto reader = database.open();
  ASSERT_TRUE(migrate_up(connection, quick(std::array{make_table})).has_value());
  ASSERT_TRUE(reader.run("BEGIN; SELECT * FROM t").has_value());
  const std::array known{make_table, add_column};
  auto options = quick(known);
  int refused = 0;
  options.on_progress = [&](const migration_progress& event) {
    if (event.what != migration_progress::step::retrying) return;
    // Between two tries nothing waits for the table: a new reader gets in at once.
    auto newcomer = database.open();
    EXPECT_TRUE(newcomer.run("SET lock_timeout = '5s'; SELECT * FROM t").has_value());
    if (++refused == 3) EXPECT_TRUE(reader.run("COMMIT").has_value());
  };

  const auto done = migrate_up(connection, options);

  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(refused, 3);
  EXPECT_EQ(done->to, 2);
}

TEST(migrate, table_that_stays_locked_ends_the_run_with_a_sentence) {
  const tests::test_database database;
  auto connection = database.open();
  auto reader = database.open();
  ASSERT_TRUE(migrate_up(connection, quick(std::array{make_table})).has_value());
  ASSERT_TRUE(reader.run("BEGIN; SELECT * FROM t").has_value());
  migrations::migration impatient = add_column;
  impatient.up =
      "-- tx: on\n-- phase: expand\n-- lock_timeout: 10ms\n-- retries: 2\nALTER TABLE t ADD COLUMN n int;";
  const std::array known{make_table, impatient};

  const auto done = migrate_up(connection, quick(known));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::locked);
  EXPECT_THAT(done.error().sentence, HasSubstr("did not get its locks in 3 tries"));
  EXPECT_FALSE(connection.is_in_transaction());
}

TEST(migrate, failing_verification_takes_the_whole_file_back) {
  const tests::test_database database;
  auto connection = database.open();
  migrations::migration wrong = make_table;
  wrong.verify = PAM_VERIFY("false", "The table t has no soul.");

  const auto done = migrate_up(connection, quick(std::array{wrong}));

  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().sentence, HasSubstr("Migration 0001_make_table failed: The table t has no soul."));
  EXPECT_EQ(value_of(connection, "SELECT to_regclass('public.t')"), "NULL");
  EXPECT_EQ(value_of(connection, "SELECT count(*) FROM schema_migrations"), "0");
}

TEST(migrate, verification_cannot_write) {
  const tests::test_database database;
  auto connection = database.open();
  migrations::migration sly = make_table;
  sly.verify = "INSERT INTO t VALUES (1)";

  const auto done = migrate_up(connection, quick(std::array{sly}));

  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().sentence, HasSubstr("25006"));
}

TEST(migrate, failing_file_keeps_what_was_applied_before_it) {
  const tests::test_database database;
  auto connection = database.open();
  migrations::migration broken = add_column;
  broken.up = PAM_ON "ALTER TABLE t ADD COLUMN n int; SELECT 1/0;";
  const std::array known{make_table, broken};

  const auto done = migrate_up(connection, quick(known));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::failed);
  EXPECT_EQ(value_of(connection, "SELECT string_agg(version::text, ',') FROM schema_migrations"), "1");
  EXPECT_EQ(value_of(connection,
                     "SELECT count(*) FROM pg_attribute WHERE attrelid = 't'::regclass AND attname = 'n'"),
            "0");
}

TEST(migrate, malformed_header_of_a_later_file_stops_the_run_before_its_first) {
  const tests::test_database database;
  auto connection = database.open();
  migrations::migration headless = add_column;
  headless.up = "ALTER TABLE t ADD COLUMN n int;";
  const std::array known{make_table, headless};

  const auto done = migrate_up(connection, quick(known));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::malformed);
  EXPECT_EQ(value_of(connection, "SELECT to_regclass('public.t')"), "NULL");
}

TEST(migrate, contract_needs_the_operators_word) {
  const tests::test_database database;
  auto connection = database.open();
  migrations::migration taking = add_column;
  taking.up =
      "-- tx: on\n-- phase: contract\n-- lock_timeout: 50ms\n-- retries: 1\nALTER TABLE t ADD COLUMN n int;";
  const std::array known{make_table, taking};
  auto options = quick(known);

  const auto refused = migrate_up(connection, options);
  options.allow_contract = true;
  const auto allowed = migrate_up(connection, options);

  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().code, migration_errc::guarded);
  EXPECT_TRUE(allowed.has_value());
}

TEST(migrate, index_is_built_concurrently_and_dropped_again) {
  const tests::test_database database;
  auto connection = database.open();
  const std::array known{make_table, add_index};

  const auto up = migrate_up(connection, quick(known));
  const std::string built =
      value_of(connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_id_idx'::regclass");
  const auto down = migrate_down(connection, 1, quick(known));

  ASSERT_TRUE(up.has_value()) << up.error().sentence;
  EXPECT_EQ(built, "t");
  ASSERT_TRUE(down.has_value()) << down.error().sentence;
  EXPECT_EQ(down->to, 1);
  EXPECT_EQ(value_of(connection, "SELECT to_regclass('t_id_idx')"), "NULL");
}

TEST(migrate, interrupted_index_build_is_resumed_without_its_invalid_leftover) {
  const tests::test_database database;
  auto connection = database.open();
  const std::array known{make_table, add_index};
  ASSERT_TRUE(migrate_up(connection, quick(std::span{known}.first(1))).has_value());
  ASSERT_TRUE(connection.run("INSERT INTO t VALUES (1), (1)").has_value());
  const auto failed = migrate_up(connection, quick(known));
  const std::string leftover =
      value_of(connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_id_idx'::regclass");
  const std::string state = value_of(connection, "SELECT state FROM schema_migrations WHERE version = 2");
  ASSERT_TRUE(connection.run("DELETE FROM t").has_value());

  const auto done = migrate_up(connection, quick(known));

  ASSERT_TRUE(failed.has_error());
  EXPECT_EQ(leftover, "f");
  EXPECT_EQ(state, "failed");
  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(value_of(connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = 't_id_idx'::regclass"),
            "t");
  EXPECT_EQ(value_of(connection, "SELECT state FROM schema_migrations WHERE version = 2"), "applied");
}

TEST(migrate, down_below_zero_or_above_the_schema_is_refused) {
  const tests::test_database database;
  auto connection = database.open();
  const std::array known{make_table};
  ASSERT_TRUE(migrate_up(connection, quick(known)).has_value());

  EXPECT_TRUE(migrate_down(connection, -1, quick(known)).has_error());
  EXPECT_TRUE(migrate_down(connection, 2, quick(known)).has_error());
  EXPECT_TRUE(migrate_down(connection, 1, quick(known)).has_value());
}

TEST(migrate, pooler_is_refused) {
  const tests::test_database database;
  auto settings = tests::direct(database.name(), tests::service("PAM_TEST_PG_SUPERUSER"));
  settings.port = static_cast<std::uint16_t>(std::stoi(tests::service("PAM_TEST_PGBOUNCER_PORT")));
  auto connection = tests::connect(settings);

  const auto done = migrate_up(connection, quick(std::array{make_table}));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::unsuitable);
  EXPECT_THAT(done.error().sentence, HasSubstr("goes through a pooler"));
}

class migrate_command : public testing::Test {
 protected:
  migrate_command() {
    const auto direct = tests::direct(database_.name(), tests::service("PAM_TEST_PG_SUPERUSER"));
    settings_.migrate.host = direct.host;
    settings_.migrate.port = direct.port;
    settings_.migrate.database = direct.database;
    settings_.migrate.user = direct.user;
  }

  tests::test_database database_;
  runtime::configuration settings_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(migrate_command, status_changes_nothing_and_tells_pending_from_done) {
  const int before = run_migrate_status(settings_, out_, err_);
  const std::string pending = out_.str();
  const int up = run_migrate_up(settings_, out_, err_);
  out_.str("");
  const int after = run_migrate_status(settings_, out_, err_);

  EXPECT_EQ(before, 2);
  EXPECT_THAT(pending, HasSubstr("0006_sessions               pending   expand"));
  EXPECT_EQ(up, 0);
  EXPECT_EQ(after, 0);
  EXPECT_THAT(out_.str(), HasSubstr("0006_sessions               applied"));
  EXPECT_EQ(err_.str(), "");
}

TEST_F(migrate_command, up_verify_and_down_write_a_line_a_step) {
  const int up = run_migrate_up(settings_, out_, err_);
  const int verify = run_migrate_verify(settings_, out_, err_);
  const int down = run_migrate_down(settings_, 5, out_, err_);

  EXPECT_EQ(up, 0);
  EXPECT_EQ(verify, 0);
  EXPECT_EQ(down, 0);
  EXPECT_THAT(out_.str(), HasSubstr("applying 0002_accounts (expand)\n"));
  EXPECT_THAT(out_.str(), HasSubstr("verified 0006_sessions\n"));
  EXPECT_THAT(out_.str(), HasSubstr("reverted 0006_sessions in "));
  EXPECT_THAT(out_.str(), HasSubstr("schema at migration 5\n"));
}

TEST_F(migrate_command, missing_database_is_one_sentence_and_exit_code_one) {
  settings_.migrate.database = "no_such_database";

  const int code = run_migrate_up(settings_, out_, err_);

  EXPECT_EQ(code, 1);
  EXPECT_THAT(err_.str(), HasSubstr("did not let us in as postgres"));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(migrate_command, host_of_the_database_section_is_used_when_migrate_names_none) {
  settings_.migrate.host.clear();
  settings_.database.hosts = {{.host = "primary.example", .port = 6432}};

  const db::admin_settings endpoint = migration_endpoint(settings_);

  EXPECT_EQ(endpoint.host, "primary.example");
  EXPECT_EQ(endpoint.port, settings_.migrate.port);
}

}  // namespace
}  // namespace pam::cli
