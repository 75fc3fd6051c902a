#include "db/detail/pooler_probe.hpp"

#include <gtest/gtest.h>

#include "db/detail/pg_handle.hpp"

namespace pam::db::detail {
namespace {

server_facts direct_server() {
  server_facts facts;
  facts.is_direct = true;
  return facts;
}

pooler_facts pooler(int version, long prepared) {
  pooler_facts facts;
  facts.version = version;
  facts.max_prepared_statements = prepared;
  return facts;
}

TEST(pooler_probe, versions_are_read_from_the_console) {
  EXPECT_EQ(parse_pooler_version("PgBouncer 1.18.0"), 1018);
  EXPECT_EQ(parse_pooler_version("PgBouncer 1.24.1"), 1024);
  EXPECT_EQ(parse_pooler_version("PgBouncer 2.0"), 2000);
}

TEST(pooler_probe, anything_else_is_no_version) {
  for (const char* text : {"", "PgBouncer ", "PgBouncer x", "PgBouncer 1", "PgBouncer 1.", "PgCat 1.24",
                           "1.24.1", "PgBouncer 99999999999.1", "PgBouncer -1.30"}) {
    EXPECT_EQ(parse_pooler_version(text), 0) << text;
  }
}

TEST(pooler_probe, nothing_known_means_the_safe_mode) {
  EXPECT_EQ(choose_mode(pooler_mode::automatic, {}, {}, 10), pooler_mode::pgbouncer_safe);
}

TEST(pooler_probe, direct_needs_proof_even_when_configured) {
  EXPECT_EQ(choose_mode(pooler_mode::direct, {}, {}, 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::direct, direct_server(), {}, 10), pooler_mode::direct);
  EXPECT_EQ(choose_mode(pooler_mode::automatic, direct_server(), {}, 10), pooler_mode::direct);
}

TEST(pooler_probe, names_need_version_1_21_and_room_for_the_catalogue) {
  EXPECT_EQ(choose_mode(pooler_mode::automatic, {}, pooler(1020, 200), 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::automatic, {}, pooler(1021, 0), 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::automatic, {}, pooler(1021, 10), 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::automatic, {}, pooler(1021, 200), 10), pooler_mode::pgbouncer_named);
}

TEST(pooler_probe, a_configured_named_mode_is_believed_unless_the_console_says_otherwise) {
  EXPECT_EQ(choose_mode(pooler_mode::pgbouncer_named, {}, {}, 10), pooler_mode::pgbouncer_named);
  EXPECT_EQ(choose_mode(pooler_mode::pgbouncer_named, {}, pooler(1018, 0), 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::pgbouncer_named, {}, pooler(1024, 0), 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::pgbouncer_named, {}, pooler(1024, 10), 10), pooler_mode::pgbouncer_safe);
  EXPECT_EQ(choose_mode(pooler_mode::pgbouncer_named, {}, pooler(1024, 11), 10),
            pooler_mode::pgbouncer_named);
}

TEST(pooler_probe, the_safe_mode_is_never_overruled) {
  EXPECT_EQ(choose_mode(pooler_mode::pgbouncer_safe, direct_server(), pooler(1024, 200), 10),
            pooler_mode::pgbouncer_safe);
}

TEST(pg_handle, a_refusal_differs_from_a_server_that_is_down) {
  EXPECT_TRUE(is_refusal("FATAL:  password authentication failed for user \"pam_app\""));
  EXPECT_TRUE(is_refusal("FATAL:  database \"auth\" does not exist"));
  EXPECT_FALSE(is_refusal("connection refused"));
  EXPECT_FALSE(is_refusal("FATAL:  the database system is starting up"));
}

}  // namespace
}  // namespace pam::db::detail
