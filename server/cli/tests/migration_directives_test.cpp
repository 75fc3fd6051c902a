#include "server/cli/migration_directives.hpp"

#include <gtest/gtest.h>

#include "migrations/migration.hpp"
#include "server/cli/migration_ledger.hpp"

namespace pam::cli {
namespace {

constexpr std::string_view header = "-- tx: on\n-- phase: expand\n-- lock_timeout: 200ms\n-- retries: 30\n";

TEST(migration_directives, header_is_read_into_its_fields) {
  const auto read = parse_directives(
      "-- tx: off\n-- phase: contract\n-- lock_timeout: 2s\n-- retries: 7\n-- role: pam_owner\n\nSELECT 1;\n",
      "f");

  ASSERT_TRUE(read.has_value());
  EXPECT_FALSE(read->is_transactional);
  EXPECT_EQ(read->phase, migration_phase::contract);
  EXPECT_EQ(read->lock_timeout, std::chrono::milliseconds{2'000});
  EXPECT_EQ(read->retries, 7);
  EXPECT_EQ(read->role, "pam_owner");
}

TEST(migration_directives, role_is_optional_and_order_is_free) {
  const auto read =
      parse_directives("-- retries: 0\n-- lock_timeout: 0ms\n-- phase: backfill\n-- tx: on\nSELECT 1;", "f");

  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->role, "");
  EXPECT_EQ(read->phase, migration_phase::backfill);
  EXPECT_EQ(read->lock_timeout, std::chrono::milliseconds{0});
}

TEST(migration_directives, comments_below_the_header_are_no_directives) {
  const auto read = parse_directives(
      std::string{header} + "\n-- note: the reason\n-- A sentence: with a colon.\nSELECT 1;", "f");

  EXPECT_TRUE(read.has_value());
}

struct refusal {
  const char* name;
  std::string text;
  const char* expected;
};

class refused_header : public testing::TestWithParam<refusal> {};

TEST_P(refused_header, names_the_file_and_what_is_wrong) {
  const auto read = parse_directives(GetParam().text, "0007_x.up.sql");

  ASSERT_TRUE(read.has_error());
  EXPECT_EQ(read.error().code, migration_errc::malformed);
  EXPECT_EQ(read.error().sentence, std::string{"0007_x.up.sql: "} + GetParam().expected + ".");
}

INSTANTIATE_TEST_SUITE_P(
    migration_directives, refused_header,
    testing::Values(
        refusal{"empty", "", "the directive \"tx\" is missing"},
        refusal{"missing", "-- tx: on\n-- phase: expand\n-- retries: 1\n",
                "the directive \"lock_timeout\" is missing"},
        refusal{"unknown", "-- txn: on\n" + std::string{header}, "the directive \"txn\" is unknown"},
        refusal{"twice", std::string{header} + "-- tx: off\n", "the directive \"tx\" is given twice"},
        refusal{"below", std::string{header} + "SELECT 1;\n-- role: pam_owner\n",
                "the directive \"role\" stands below the header, where it has no effect"},
        refusal{"after_blank_line", "\n" + std::string{header},
                "the directive \"tx\" stands below the header, where it has no effect"},
        refusal{"tx", "-- tx: yes\n", "the directive \"tx\" is on or off, not \"yes\""},
        refusal{"phase", "-- phase: Expand\n",
                "the directive \"phase\" is expand, backfill or contract, not \"Expand\""},
        refusal{"no_unit", "-- lock_timeout: 200\n",
                "the directive \"lock_timeout\" is a whole number with ms or s, at most 60s, not \"200\""},
        refusal{"too_long", "-- lock_timeout: 61s\n",
                "the directive \"lock_timeout\" is a whole number with ms or s, at most 60s, not \"61s\""},
        refusal{"trailing", "-- lock_timeout: 200ms \n",
                "the directive \"lock_timeout\" is a whole number with ms or s, at most 60s, not \"200ms \""},
        refusal{"negative", "-- retries: -1\n",
                "the directive \"retries\" is a whole number from 0 to 1000, not \"-1\""},
        refusal{"quoted_role", "-- role: pam\"owner\n",
                "the directive \"role\" is a role's name in lower case, not \"pam\"owner\""}),
    [](const auto& info) { return info.param.name; });

TEST(embedded_migrations, every_file_has_a_valid_header_and_a_verification) {
  ASSERT_FALSE(migrations::embedded_migrations().empty());
  for (const migrations::migration& what : migrations::embedded_migrations()) {
    const auto up = parse_directives(what.up, display_name(what) + ".up.sql");
    const auto down = parse_directives(what.down, display_name(what) + ".down.sql");

    EXPECT_TRUE(up.has_value()) << up.error().sentence;
    EXPECT_TRUE(down.has_value()) << down.error().sentence;
    EXPECT_NE(what.verify.find("RAISE EXCEPTION"), std::string_view::npos) << display_name(what);
  }
}

}  // namespace
}  // namespace pam::cli
