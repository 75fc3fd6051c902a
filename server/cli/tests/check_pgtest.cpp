// `pam-auth check` against real servers: what it sees of them, what it says, and the leak test.
#include <sys/stat.h>

#include <memory>
#include <sstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/check/gather.hpp"
#include "server/cli/check_command.hpp"
#include "server/cli/command.hpp"
#include "server/cli/migration_runner.hpp"
#include "server/cli/tests/temporary_folder.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using pam::cli::testing::temporary_folder;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::uint16_t port_of(const std::string& name) {
  return static_cast<std::uint16_t>(std::stoi(tests::service(name)));
}

/// A migrated database, reached as production reaches it: the server as pam_app, migrations directly.
class check_pg : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    database_ = std::make_unique<tests::test_database>();
    auto owner = database_->open();
    const auto done = migrate_up(owner, {});
    ASSERT_TRUE(done.has_value()) << done.error().sentence;
  }
  static void TearDownTestSuite() { database_.reset(); }

  static runtime::configuration through(const std::string& port) {
    runtime::configuration settings;
    settings.server.shards = 1;
    settings.database.hosts = {{tests::service("PAM_TEST_PG_SOCKET_DIR"), port_of(port)}};
    settings.database.database = database_->name();
    settings.migrate.host = tests::service("PAM_TEST_PG_SOCKET_DIR");
    settings.migrate.port = port_of("PAM_TEST_PG_PORT");
    settings.migrate.database = database_->name();
    settings.migrate.user = tests::service("PAM_TEST_PG_SUPERUSER");
    return settings;
  }
  static std::string report(const runtime::configuration& settings, int status) {
    std::ostringstream out;
    EXPECT_EQ(run_check(settings, {}, out), status);
    return out.str();
  }
  static void run(const std::string& script) {
    const auto done = database_->open().run(script);
    ASSERT_TRUE(done.has_value()) << done.error().detail;
  }
  static db::admin_connection console(const std::string& port) {
    auto settings = tests::direct("pgbouncer", tests::service("PAM_TEST_PG_SUPERUSER"));
    settings.port = port_of(port);
    return tests::connect(settings);
  }
  static db::admin_connection client(const std::string& port, const std::string& name) {
    auto settings = tests::direct(database_->name(), "pam_app");
    settings.port = port_of(port);
    settings.application_name = name;
    return tests::connect(settings);
  }

  static inline std::unique_ptr<tests::test_database> database_;
};

TEST_F(check_pg, sees_a_newer_pooler_and_the_server_behind_it) {
  const check::facts seen = check::gather(through("PAM_TEST_PGBOUNCER_NEW_PORT"), 3);

  EXPECT_EQ(seen.route.unreachable, "");
  EXPECT_FALSE(seen.route.is_direct);
  EXPECT_FALSE(seen.route.is_read_only);
  EXPECT_FALSE(seen.route.is_superuser);
  EXPECT_EQ(seen.route.settings.at("lock_timeout"), "100");
  EXPECT_EQ(seen.route.settings.at("statement_timeout"), "2000");
  EXPECT_EQ(seen.pooler.refused, "");
  EXPECT_THAT(seen.pooler.version, StartsWith("1."));
  EXPECT_EQ(seen.pooler.settings.at("max_prepared_statements"), "500");
  EXPECT_EQ(seen.pooler.entry.at("pool_size"), "8");
  EXPECT_THAT(seen.pooler.strangers, IsEmpty());
  EXPECT_EQ(seen.postgres.unreachable, "");
  EXPECT_THAT(seen.postgres.unanswered, IsEmpty());
  EXPECT_GE(seen.postgres.version, 140'000);
  EXPECT_EQ(seen.postgres.settings.at("max_connections"), "200");
  EXPECT_TRUE(seen.postgres.has_schema);
  EXPECT_FALSE(seen.postgres.partitions.empty());
  EXPECT_THAT(seen.postgres.extensions, Contains("plpgsql"));
  EXPECT_LT(std::abs(seen.postgres.clock_skew_seconds), 0.5);
  EXPECT_GT(seen.postgres.oldest_transaction_age, 0);
  EXPECT_EQ(seen.own.pools.sum(), runtime::pool_shape_of(through("PAM_TEST_PGBOUNCER_NEW_PORT"), 3).sum());
  EXPECT_GT(seen.own.statements, 10U);
  EXPECT_GT(seen.host.descriptor_limit, 0U);
}

TEST_F(check_pg, recognises_a_direct_route) {
  const check::facts seen = check::gather(through("PAM_TEST_PG_PORT"), 1);

  EXPECT_TRUE(seen.route.is_direct);
  EXPECT_EQ(seen.pooler.version, "");
}

TEST_F(check_pg, names_strangers_on_an_old_pooler_and_not_our_own_servers) {
  const auto stranger = client("PAM_TEST_PGBOUNCER_PORT", "nightly-report");
  const auto server_of_ours = client("PAM_TEST_PGBOUNCER_PORT", "pam-auth");

  const check::facts seen = check::gather(through("PAM_TEST_PGBOUNCER_PORT"), 1);
  const std::string said = report(through("PAM_TEST_PGBOUNCER_PORT"), failure);

  EXPECT_THAT(seen.pooler.strangers, ElementsAre(StartsWith("nightly-report at ")));
  EXPECT_THAT(seen.pooler.clients, Contains(StartsWith("pam-auth at ")));
  EXPECT_THAT(said, HasSubstr("danger   pooler.strangers: others use (" + database_->name() +
                              ", pam_app) too: nightly-report at "));
  EXPECT_THAT(said, HasSubstr("warning  pooler.version: PgBouncer 1.18"));
}

TEST_F(check_pg, finds_what_was_set_wrong_on_purpose) {
  run("ALTER ROLE pam_app IN DATABASE " + database_->name() +
      " SET lock_timeout = 0;"
      "ALTER ROLE pam_app IN DATABASE " +
      database_->name() +
      " SET statement_timeout = 0;"
      "CREATE TABLE doubles (a int); INSERT INTO doubles VALUES (1), (1)");
  // Fails, and leaves the invalid index this is about.
  EXPECT_TRUE(database_->open().run("CREATE UNIQUE INDEX CONCURRENTLY doubles_a ON doubles (a)").has_error());
  run("SELECT pg_create_physical_replication_slot('" + database_->name() + "', true)");
  run("DO $$ BEGIN EXECUTE 'DROP TABLE ' || partition_name('sessions', 'month', now() + interval '1 month'); "
      "END $$");
  auto admin = console("PAM_TEST_PGBOUNCER_NEW_PORT");
  // A role's settings take effect at sign-in: of the pooler's server connections, here.
  ASSERT_TRUE(admin.run("RECONNECT " + database_->name()).has_value());
  ASSERT_TRUE(admin.run("SET query_wait_timeout = 0").has_value());
  ASSERT_TRUE(admin.run("SET server_login_retry = 15").has_value());

  const std::string said = report(through("PAM_TEST_PGBOUNCER_NEW_PORT"), failure);

  EXPECT_THAT(said, HasSubstr("warning  role.lock_timeout: lock_timeout is off"));
  EXPECT_THAT(said, HasSubstr("warning  role.statement_timeout: statement_timeout is off"));
  EXPECT_THAT(said, HasSubstr("warning  postgres.index: the index doubles_a is INVALID"));
  EXPECT_THAT(said, HasSubstr("warning  slot." + database_->name() + ": nobody reads it"));
  EXPECT_THAT(said,
              HasSubstr("warning  postgres.partitions: sessions has partitions for only 0 month(s) ahead"));
  EXPECT_THAT(said, HasSubstr("warning  pooler.query_wait_timeout: query_wait_timeout is off"));
  EXPECT_THAT(said, HasSubstr("warning  pooler.server_login_retry: server_login_retry = 15 s"));
  // The private PostgreSQL of the tests.
  EXPECT_THAT(said, HasSubstr("note     postgres.pg_stat_statements"));

  EXPECT_TRUE(admin.run("SET query_wait_timeout = 5").has_value());
  EXPECT_TRUE(admin.run("SET server_login_retry = '0.2'").has_value());
  run("SELECT pg_drop_replication_slot('" + database_->name() +
      "');"
      "SELECT ensure_partitions('sessions'); DROP TABLE doubles;"
      "ALTER ROLE pam_app IN DATABASE " +
      database_->name() + " RESET ALL");
}

TEST_F(check_pg, says_which_route_leads_nowhere) {
  auto settings = through("PAM_TEST_PGBOUNCER_NEW_PORT");
  settings.database.hosts.front().host = "/nonexistent";
  settings.migrate.host = "/nonexistent";

  const std::string said = report(settings, failure);

  EXPECT_THAT(said,
              AllOf(HasSubstr("danger   route: the route of [database] does not work: /nonexistent port"),
                    HasSubstr("danger   postgres.route: the direct route of [migrate] does not work")));
}

TEST_F(check_pg, sees_the_modes_of_secret_files) {
  const temporary_folder folder;
  auto settings = through("PAM_TEST_PG_PORT");
  settings.keys.file = folder.write("keys.json", "{}");
  settings.migrate.password_file = folder.file("absent");
  ASSERT_EQ(chmod(settings.keys.file.c_str(), 0644), 0);

  const std::string said = report(settings, failure);

  EXPECT_THAT(said, AllOf(HasSubstr("danger   keys.file: " + settings.keys.file + " has mode 0644"),
                          HasSubstr("danger   migrate.password_file: ")));
}

TEST_F(check_pg, writes_json_when_asked) {
  std::ostringstream out;

  run_check(through("PAM_TEST_PG_PORT"), {.is_json = true}, out);

  EXPECT_THAT(out.str(), StartsWith(R"({"worst":"danger","findings":[{"severity":)"));
}

// ---- the leak ----

class leak_pg : public check_pg {
 protected:
  static int try_leak(const runtime::configuration& settings, bool is_alone) {
    out_.str("");
    err_.str("");
    return run_leak_test(settings, is_alone, out_, err_);
  }
  /// Nobody after us may get what the test left in the pooler's server connections.
  static void clean(const std::string& port) {
    auto admin = console(port);
    ASSERT_TRUE(admin.run("KILL " + database_->name()).has_value());
    ASSERT_TRUE(admin.run("RESUME " + database_->name()).has_value());
  }
  static inline std::ostringstream out_;
  static inline std::ostringstream err_;
};

TEST_F(leak_pg, is_found_in_a_pooler_that_does_not_track_pipelines) {
  const int status = try_leak(through("PAM_TEST_PGBOUNCER_PORT"), true);
  clean("PAM_TEST_PGBOUNCER_PORT");

  EXPECT_EQ(status, failure);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("LEAK"), HasSubstr("RECONNECT"))) << err_.str();
}

TEST_F(leak_pg, is_not_found_in_one_that_does) {
  const int status = try_leak(through("PAM_TEST_PGBOUNCER_NEW_PORT"), true);

  EXPECT_EQ(status, success) << err_.str();
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("1280 answers compared, 0 of somebody else, 0 connections broken"),
                                HasSubstr("no leak")));
}

TEST_F(leak_pg, is_not_looked_for_without_the_word_of_the_operator) {
  EXPECT_EQ(try_leak(through("PAM_TEST_PGBOUNCER_NEW_PORT"), false), usage);
  EXPECT_THAT(err_.str(), HasSubstr("stop every other client of this pooler, then say --i-am-alone"));
  EXPECT_EQ(out_.str(), "");
}

TEST_F(leak_pg, is_not_looked_for_beside_another_client) {
  const auto other = client("PAM_TEST_PGBOUNCER_NEW_PORT", "pam-auth");

  EXPECT_EQ(try_leak(through("PAM_TEST_PGBOUNCER_NEW_PORT"), true), failure);
  EXPECT_THAT(err_.str(), HasSubstr("you are not alone, PgBouncer also serves pam-auth"));
}

TEST_F(leak_pg, needs_a_pooler) {
  EXPECT_EQ(try_leak(through("PAM_TEST_PG_PORT"), true), failure);
  EXPECT_THAT(err_.str(), HasSubstr("there is no pooler to test"));
}

}  // namespace
}  // namespace pam::cli
