// The life of a migration where things go wrong: killed runners, servers that still run, backfills.
#include <sys/wait.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <thread>

#include "server/cli/instance_gate.hpp"
#include "server/cli/migrate.hpp"
#include "server/cli/migration_preview.hpp"
#include "server/cli/schema_invariants.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;
using step = migration_progress::step;

constexpr std::string_view on = "-- tx: on\n-- phase: expand\n-- lock_timeout: 50ms\n-- retries: 200\n";
constexpr const char* nothing_to_verify = "SELECT 1";

constexpr migrations::migration make_books{
    1, "books",
    "-- tx: on\n-- phase: expand\n-- lock_timeout: 50ms\n-- retries: 200\n"
    "CREATE TABLE books (id int PRIMARY KEY, title text NOT NULL);"
    "CREATE TABLE schema_backfills (name text PRIMARY KEY, sha256 char(64) NOT NULL, last_key text, "
    "rows_done "
    "bigint NOT NULL DEFAULT 0, rows_estimated bigint NOT NULL DEFAULT 0, started_at timestamptz NOT NULL, "
    "updated_at timestamptz NOT NULL, finished_at timestamptz);"
    "INSERT INTO books SELECT n, 'title ' || n FROM generate_series(1, 1000) n;",
    "-- tx: on\n-- phase: contract\n-- lock_timeout: 50ms\n-- retries: 200\nDROP TABLE books, "
    "schema_backfills;",
    nothing_to_verify};
constexpr migrations::migration add_length{
    2, "length",
    "-- tx: on\n-- phase: expand\n-- lock_timeout: 50ms\n-- retries: 200\nALTER TABLE books ADD COLUMN "
    "length "
    "int;",
    "-- tx: on\n-- phase: contract\n-- lock_timeout: 50ms\n-- retries: 200\nALTER TABLE books DROP COLUMN "
    "length;",
    nothing_to_verify};
constexpr migrations::migration fill_length{
    3, "fill_length",
    "-- tx: off\n-- phase: backfill\n-- lock_timeout: 50ms\n-- retries: 200\n-- batch: 100\n-- table: books\n"
    "WITH batch AS (SELECT id FROM books WHERE id > coalesce($1::int, 0) ORDER BY id LIMIT $2::int),"
    " done AS (UPDATE books SET length = length(title) FROM batch WHERE books.id = batch.id)"
    " SELECT max(id)::text, count(*) FROM batch",
    "-- tx: on\n-- phase: contract\n-- lock_timeout: 50ms\n-- retries: 200\nUPDATE books SET length = NULL;",
    "DO $$ BEGIN IF EXISTS (SELECT 1 FROM books WHERE length IS NULL) THEN RAISE EXCEPTION 'A book has no "
    "length.'; END IF; END $$"};
constexpr std::array library{make_books, add_length, fill_length};

migration_options quick(std::span<const migrations::migration> known) {
  migration_options options;
  options.known = known;
  options.retry_first = milliseconds{1};
  options.retry_limit = milliseconds{20};
  options.runner_poll = milliseconds{5};
  options.pace.duty = 1;
  options.pace.report_every = milliseconds{0};
  return options;
}

std::string value_of(db::admin_connection& connection, const std::string& query) {
  const auto found = connection.query(query);
  if (found.has_error()) return "error: " + found.error().detail;
  return found->values.at(0).at(0).value_or("NULL");
}

TEST(backfill, goes_through_the_table_in_batches_and_tells_how_far_it_is) {
  const tests::test_database database;
  auto connection = database.open();
  auto options = quick(library);
  std::vector<std::int64_t> reached;
  options.on_progress = [&](const migration_progress& event) {
    if (event.what == step::advanced) reached.push_back(event.rows.done);
  };

  const auto done = migrate_up(connection, options);

  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(done->to, 3);
  EXPECT_THAT(reached, testing::ElementsAre(100, 200, 300, 400, 500, 600, 700, 800, 900, 1000, 1000));
  EXPECT_EQ(value_of(connection, "SELECT count(*) FROM books WHERE length = length(title)"), "1000");
  EXPECT_EQ(
      value_of(connection, "SELECT rows_done || ' ' || (finished_at IS NOT NULL) FROM schema_backfills"),
      "1000 true");
}

TEST(backfill, that_was_stopped_goes_on_where_it_stood) {
  const tests::test_database database;
  auto connection = database.open();
  auto options = quick(library);
  options.target = 2;
  ASSERT_TRUE(migrate_up(connection, options).has_value());
  options.target = 0;
  // The fourth batch fails: a row that cannot be written.
  ASSERT_TRUE(
      connection.run("ALTER TABLE books ADD CONSTRAINT odd CHECK (id <> 350 OR length IS NULL)").has_value());
  const auto stopped = migrate_up(connection, options);
  const std::string stood = value_of(connection, "SELECT last_key || ' ' || rows_done FROM schema_backfills");
  ASSERT_TRUE(
      connection.run("ALTER TABLE books DROP CONSTRAINT odd; UPDATE books SET length = -1 WHERE id <= 300")
          .has_value());

  const auto done = migrate_up(connection, options);

  ASSERT_TRUE(stopped.has_error());
  EXPECT_THAT(stopped.error().sentence, HasSubstr("Backfill 0003_fill_length stopped after 300 rows"));
  EXPECT_EQ(stood, "300 300");
  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(value_of(connection, "SELECT count(*) FROM books WHERE length = -1"), "300") << "done twice";
  EXPECT_EQ(value_of(connection, "SELECT state FROM schema_migrations WHERE version = 3"), "applied");
}

TEST(backfill, edited_after_it_began_is_refused) {
  const tests::test_database database;
  auto connection = database.open();
  auto options = quick(library);
  options.target = 2;
  ASSERT_TRUE(migrate_up(connection, options).has_value());
  ASSERT_TRUE(connection
                  .run("INSERT INTO schema_backfills VALUES ('0003_fill_length', repeat('a', 64), '5', 5, 0, "
                       "now(), now())")
                  .has_value());

  const auto done = migrate_up(connection, quick(library));

  ASSERT_TRUE(done.has_error());
  EXPECT_EQ(done.error().code, migration_errc::edited);
}

TEST(backfill, taken_back_begins_anew) {
  const tests::test_database database;
  auto connection = database.open();
  ASSERT_TRUE(migrate_up(connection, quick(library)).has_value());
  ASSERT_TRUE(migrate_down(connection, 2, quick(library)).has_value());

  const auto again = migrate_up(connection, quick(library));

  ASSERT_TRUE(again.has_value()) << again.error().sentence;
  EXPECT_EQ(value_of(connection, "SELECT count(*) FROM books WHERE length = length(title)"), "1000");
}

TEST(backfill, waits_for_rows_others_hold_and_then_takes_them) {
  const tests::test_database database;
  auto connection = database.open();
  auto writer = database.open();
  auto options = quick(library);
  options.target = 2;
  ASSERT_TRUE(migrate_up(connection, options).has_value());
  options.target = 0;
  ASSERT_TRUE(writer.run("BEGIN; UPDATE books SET title = 'held' WHERE id = 150").has_value());
  int reports = 0;
  options.on_progress = [&](const migration_progress& event) {
    if (event.what == step::advanced && ++reports == 1) EXPECT_TRUE(writer.run("SELECT 1").has_value());
  };
  std::thread release{[&] {
    auto watcher = database.open();
    tests::wait_for(watcher, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted", "t");
    EXPECT_TRUE(writer.run("COMMIT").has_value());
  }};

  const auto done = migrate_up(connection, options);

  release.join();
  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(value_of(connection, "SELECT length FROM books WHERE id = 150"), "4");
}

TEST(migrate_up, stops_at_its_target_and_backfill_runs_nothing_else) {
  const tests::test_database database;
  auto connection = database.open();
  auto options = quick(library);
  options.only_backfills = true;
  const auto none = migrate_up(connection, options);
  options.only_backfills = false;
  options.target = 2;
  const auto two = migrate_up(connection, options);
  options.target = 0;
  options.only_backfills = true;
  const auto filled = migrate_up(connection, options);
  options.only_backfills = false;
  options.target = 1;
  const auto above = migrate_up(connection, options);

  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->count, 0);
  ASSERT_TRUE(two.has_value());
  EXPECT_EQ(two->to, 2);
  ASSERT_TRUE(filled.has_value());
  EXPECT_EQ(filled->to, 3);
  ASSERT_TRUE(above.has_error());
  EXPECT_THAT(above.error().sentence, HasSubstr("The database is at migration 3, above 1"));
}

/// A runner that dies by SIGKILL at its n-th event; @return false when it got to its end first
bool die_at(const tests::test_database& database, std::span<const migrations::migration> known, int event) {
  const pid_t child = fork();
  if (child == 0) {
    auto options = quick(known);
    int seen = 0;
    options.on_progress = [&](const migration_progress&) {
      if (++seen == event) kill(getpid(), SIGKILL);
    };
    auto connection = database.open();
    static_cast<void>(migrate_up(connection, options));
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status);
}

TEST(killed_runner, leaves_a_state_that_the_next_one_resumes_wherever_it_died) {
  constexpr migrations::migration index{
      4, "index",
      "-- tx: off\n-- phase: expand\n-- lock_timeout: 50ms\n-- retries: 200\n"
      "CREATE INDEX CONCURRENTLY IF NOT EXISTS books_length_idx ON books (length);",
      "-- tx: off\n-- phase: contract\n-- lock_timeout: 50ms\n-- retries: 200\n"
      "DROP INDEX CONCURRENTLY books_length_idx;",
      "DO $$ BEGIN IF NOT (SELECT indisvalid FROM pg_index WHERE indexrelid = 'books_length_idx'::regclass) "
      "THEN "
      "RAISE EXCEPTION 'invalid'; END IF; END $$"};
  const std::array known{make_books, add_length, fill_length, index};
  int deaths = 0;
  for (int event = 1;; event += 2) {
    const tests::test_database database;
    if (!die_at(database, known, event)) break;
    ++deaths;
    auto connection = database.open();

    const auto done = migrate_up(connection, quick(known));

    ASSERT_TRUE(done.has_value()) << "died at event " << event << ": " << done.error().sentence;
    EXPECT_EQ(
        value_of(connection, "SELECT count(*) || ' ' || min(length) FROM books WHERE length IS NOT NULL"),
        "1000 7");
    EXPECT_EQ(value_of(connection, "SELECT rows_done FROM schema_backfills"), "1000");
    EXPECT_EQ(value_of(connection, "SELECT string_agg(state, ' ') FROM schema_migrations"),
              "applied applied applied applied");
  }
  EXPECT_GE(deaths, 9);
}

TEST(killed_runner, whose_index_build_is_under_way_leaves_no_invalid_index) {
  const tests::test_database database;
  auto connection = database.open();
  const std::array known{
      make_books,
      migrations::migration{2, "index",
                            "-- tx: off\n-- phase: expand\n-- lock_timeout: 0ms\n-- retries: 0\n"
                            "CREATE INDEX CONCURRENTLY IF NOT EXISTS books_title_idx ON books (title);",
                            on, nothing_to_verify}};
  ASSERT_TRUE(migrate_up(connection, quick(std::span{known}.first(1))).has_value());
  // A build waits for this writer; its runner dies meanwhile, and its backend with it.
  auto writer = database.open();
  ASSERT_TRUE(writer.run("BEGIN; UPDATE books SET title = 'x' WHERE id = 1").has_value());
  const pid_t child = fork();
  if (child == 0) {
    auto own = database.open();
    static_cast<void>(migrate_up(own, quick(known)));
    _exit(0);
  }
  const std::string build =
      "SELECT count(*) > 0 FROM pg_stat_progress_create_index WHERE datname = current_database()";
  // Its catalogue entry is committed once the build waits for writers.
  tests::wait_for(connection, build + " AND phase LIKE 'waiting for writers%'", "t");
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(connection
                  .run("SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE datname = "
                       "current_database()")
                  .has_value());
  tests::wait_for(connection, build, "f");
  ASSERT_TRUE(writer.run("COMMIT").has_value());
  const std::string leftover = value_of(
      connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('books_title_idx')");

  const auto done = migrate_up(connection, quick(known));

  EXPECT_EQ(leftover, "f");
  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(
      value_of(connection, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'books_title_idx'::regclass"),
      "t");
}

/// The embedded schema and one contract migration after it.
class gate : public testing::Test {
 protected:
  gate() : connection_(database_.open()) {
    const auto embedded = migrations::embedded_migrations();
    known_.assign(embedded.begin(), embedded.end());
    newest_ = embedded.back().version;
    known_.push_back({newest_ + 1, "drop_role",
                      "-- tx: on\n-- phase: contract\n-- lock_timeout: 200ms\n-- retries: 30\nALTER TABLE "
                      "accounts DROP COLUMN aud;",
                      "-- tx: on\n-- phase: contract\n-- lock_timeout: 200ms\n-- retries: 30\nALTER TABLE "
                      "accounts ADD COLUMN aud varchar(255) NOT NULL DEFAULT 'authenticated';",
                      nothing_to_verify});
    const auto done = migrate_up(connection_, {});
    if (done.has_error()) throw std::runtime_error(done.error().sentence);
  }
  void heartbeat(int schema_version, const std::string& seen, const std::string& ended = "NULL") {
    ASSERT_TRUE(connection_
                    .run("INSERT INTO app_instances VALUES (gen_random_uuid(), 'auth-1', 42, '1.2.3', " +
                         std::to_string(schema_version) + ", now(), " + seen + ", " + ended + ")")
                    .has_value());
  }
  migration_result<migration_report> up() { return migrate_up(connection_, quick(known_)); }

  tests::test_database database_;
  db::admin_connection connection_;
  std::vector<migrations::migration> known_;
  int newest_ = 0;
};

TEST_F(gate, contract_waits_while_a_server_that_does_not_know_it_is_alive) {
  heartbeat(newest_, "now() - interval '30 seconds'");

  const auto refused = up();

  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().code, migration_errc::guarded);
  EXPECT_THAT(refused.error().sentence, HasSubstr("The server 1.2.3 on auth-1 (process 42) was built with"));
}

TEST_F(gate, contract_goes_when_the_old_servers_ended_or_were_not_seen_for_a_minute) {
  heartbeat(newest_, "now() - interval '61 seconds'");
  heartbeat(newest_, "now()", "now()");
  heartbeat(newest_ + 1, "now()");

  const auto done = up();

  EXPECT_TRUE(done.has_value()) << done.error().sentence;
}

TEST_F(gate, going_back_waits_while_a_server_that_needs_the_migration_is_alive) {
  ASSERT_TRUE(up().has_value());
  heartbeat(newest_ + 1, "now()");
  auto options = quick(known_);

  const auto refused = migrate_down(connection_, newest_, options);
  options.allow_contract = true;
  const auto allowed = migrate_down(connection_, newest_, options);

  ASSERT_TRUE(refused.has_error());
  EXPECT_EQ(refused.error().code, migration_errc::guarded);
  EXPECT_THAT(refused.error().sentence, HasSubstr("takes away what it uses"));
  EXPECT_TRUE(allowed.has_value());
}

TEST_F(gate, preview_names_locks_and_sizes_and_changes_nothing) {
  ASSERT_TRUE(
      connection_
          .run("INSERT INTO accounts (email) SELECT 'a' || n || '@example.com' FROM generate_series(1, "
               "5000) n")
          .has_value());
  ASSERT_TRUE(connection_.run("ANALYZE accounts").has_value());

  const auto plan = migrate_plan(connection_, quick(known_));

  ASSERT_TRUE(plan.has_value()) << plan.error().sentence;
  ASSERT_EQ(plan->size(), 1U);
  const previewed_statement& drop = plan->front().statements.front();
  EXPECT_EQ(drop.what.lock, table_lock::access_exclusive);
  EXPECT_EQ(drop.rows, 5000);
  EXPECT_GT(drop.bytes, 0);
  EXPECT_EQ(expected_time(drop), "at once");
  EXPECT_EQ(value_of(connection_, "SELECT max(version) FROM schema_migrations"), std::to_string(newest_));
}

TEST_F(gate, invariants_hold_on_a_new_schema_and_name_what_is_broken) {
  const auto clean = check_invariants(connection_);
  ASSERT_TRUE(clean.has_value()) << clean.error().sentence;
  ASSERT_TRUE(connection_
                  .run("INSERT INTO accounts (id, email) VALUES ('00000000-0000-4000-8000-000000000001', "
                       "'a@example.com'); INSERT INTO claims VALUES ('email', 'b@example.com', "
                       "'00000000-0000-4000-8000-000000000002', now() - interval '1 hour'), ('email', "
                       "'c@example.com', '00000000-0000-4000-8000-000000000003', now());"
                       "CREATE TABLE mine (id int); DROP TABLE outbox_" +
                       value_of(connection_,
                                "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 day', "
                                "'YYYYMMDD')"))
                  .has_value());

  const auto broken = check_invariants(connection_);

  EXPECT_THAT(*clean, testing::IsEmpty());
  ASSERT_TRUE(broken.has_value()) << broken.error().sentence;
  std::vector<std::string> names;
  for (const finding& each : *broken) names.push_back(std::string{each.name} + " " + each.example);
  EXPECT_THAT(names, testing::ElementsAre("account_without_claim 00000000-0000-4000-8000-000000000001",
                                          "claim_without_account 00000000-0000-4000-8000-000000000002",
                                          "foreign_owner mine", "missing_partition outbox"));
}

/// What a statement of a migration really locks, against what the preview says.
TEST(preview, promises_every_lock_that_the_embedded_migrations_take) {
  const tests::test_database database;
  auto connection = database.open();
  auto options = quick(migrations::embedded_migrations());
  options.target = 1;  // makes the roles and the ledger
  ASSERT_TRUE(migrate_up(connection, options).has_value());
  for (const migrations::migration& what : options.known.subspan(1)) {
    std::map<std::string, table_lock> promised;
    for (const forecast& each : forecast_script(what.up)) {
      if (each.lock == table_lock::unknown) promised["*"] = each.lock;
      promised[each.table] = std::max(promised[each.table], each.lock);
    }
    ASSERT_TRUE(connection.run("BEGIN; SET LOCAL ROLE pam_owner").has_value());
    const auto tables = connection.query(
        "SELECT c.oid::text FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace AND relkind IN "
        "('r', "
        "'p')");
    const bool is_transactional = what.up.starts_with("-- tx: on");
    const auto ran = is_transactional ? connection.run(std::string{what.up}) : db::result<void>{};
    ASSERT_TRUE(ran.has_value()) << what.name << ": " << ran.error().detail;
    const auto held = connection.query(
        "SELECT c.relname, max(CASE mode WHEN 'ShareLock' THEN 4 WHEN 'ShareRowExclusiveLock' THEN 5 WHEN "
        "'ExclusiveLock' THEN 6 WHEN 'AccessExclusiveLock' THEN 6 ELSE 0 END) FROM pg_locks AS l JOIN "
        "pg_class AS "
        "c ON c.oid = l.relation WHERE l.pid = pg_backend_pid() AND c.relkind IN ('r', 'p') AND "
        "c.relnamespace = "
        "'public'::regnamespace GROUP BY 1");
    ASSERT_TRUE(held.has_value());
    ASSERT_TRUE(connection.run("ROLLBACK").has_value());
    for (const db::text_row& row : held->values) {
      if (row[1] == "0") continue;  // readers and writers go on
      const auto existed =
          connection.query("SELECT to_regclass('public.' || quote_ident($1)) IS NOT NULL", {row[0]});
      if (existed->values[0][0] == "f" || promised.contains("*")) continue;
      EXPECT_GE(static_cast<int>(promised[*row[0]]), std::stoi(*row[1])) << what.name << " locks " << *row[0];
    }
    options.target = what.version;
    ASSERT_TRUE(migrate_up(connection, options).has_value());
  }
}

}  // namespace
}  // namespace pam::cli
