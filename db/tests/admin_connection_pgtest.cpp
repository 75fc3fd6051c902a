#include "db/admin_connection.hpp"

#include <gtest/gtest.h>

#include "db/tests/pg_fixture.hpp"

namespace pam::db {
namespace {

using namespace testing;

class admin_connection_pg : public ::testing::Test {
 protected:
  scratch_database scratch;
  admin_connection admin = connect_admin(scratch.name());
};

TEST_F(admin_connection_pg, a_script_runs_and_a_query_returns_text) {
  ASSERT_TRUE(
      admin.run("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, NULL)").has_value());

  const auto got = admin.query("SELECT a, b FROM t WHERE a <= $1 ORDER BY a", {"2"});

  ASSERT_TRUE(got.has_value());
  EXPECT_EQ(got->columns, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(got->values, (std::vector<text_row>{{"1", "x"}, {"2", std::nullopt}}));
}

TEST_F(admin_connection_pg, a_failing_script_reports_the_sqlstate_and_leaves_nothing_behind) {
  const auto failed = admin.run("CREATE TABLE t (a int); SELECT 1 / 0");

  EXPECT_EQ(failed.error().code, errc::rejected);
  EXPECT_EQ(failed.error().sqlstate, "22012");
  EXPECT_TRUE(admin.is_open());
  EXPECT_TRUE(admin.query("SELECT to_regclass('t')")->values.at(0).at(0) == std::nullopt);
}

TEST_F(admin_connection_pg, a_lost_connection_is_unknown_and_then_closed) {
  const auto lost = admin.run("SELECT pg_terminate_backend(pg_backend_pid())");

  EXPECT_EQ(lost.error().code, errc::connection);
  EXPECT_EQ(lost.error().outcome, outcome::unknown);
  EXPECT_FALSE(admin.is_open());
  EXPECT_EQ(admin.run("SELECT 1").error().outcome, outcome::not_sent);
}

TEST_F(admin_connection_pg, copy_from_the_client_is_refused_instead_of_hanging) {
  ASSERT_TRUE(admin.run("CREATE TABLE t (a int)").has_value());

  EXPECT_EQ(admin.run("COPY t FROM STDIN").error().code, errc::protocol);
  EXPECT_FALSE(admin.is_open());
}

TEST_F(admin_connection_pg, a_server_that_is_not_there_is_unavailable) {
  admin_settings nowhere;
  nowhere.host = "/nonexistent";

  const auto failed = admin_connection::connect(nowhere);

  EXPECT_EQ(failed.error().code, errc::unavailable);
  EXPECT_EQ(failed.error().outcome, outcome::not_sent);
}

TEST_F(admin_connection_pg, quoting_survives_the_servers_own_reading) {
  const std::string text = R"(it's a "quoted" \ thing)";

  const auto literal = admin.query("SELECT " + quote_literal(text));
  const auto identifier = admin.query("SELECT 1 AS " + quote_identifier(text));

  EXPECT_EQ(literal->values.at(0).at(0), text);
  EXPECT_EQ(identifier->columns.at(0), text);
}

TEST_F(admin_connection_pg, it_knows_whether_a_transaction_is_open) {
  EXPECT_FALSE(admin.is_in_transaction());
  ASSERT_TRUE(admin.run("BEGIN").has_value());
  EXPECT_TRUE(admin.is_in_transaction());
}

}  // namespace
}  // namespace pam::db
