#include "server/cli/migration_ledger.hpp"

#include <gtest/gtest.h>

#include <functional>

namespace pam::cli {
namespace {

#define PAM_HEADER_REST "-- phase: expand\n-- lock_timeout: 200ms\n-- retries: 3\n"

constexpr std::array<migrations::migration, 3> three{{
    {1, "one", "-- tx: on\n" PAM_HEADER_REST "SELECT 1;", "down 1", "verify 1"},
    {2, "two", "-- tx: on\n" PAM_HEADER_REST "SELECT 2;", "down 2", "verify 2"},
    {3, "three", "-- tx: off\n" PAM_HEADER_REST "SELECT 3;", "down 3", "verify 3"},
}};

ledger_row row_of(const migrations::migration& what) {
  return {.version = what.version,
          .name = std::string{what.name},
          .up_sha256 = sha256_hex(what.up),
          .down_sha256 = sha256_hex(what.down),
          .state = ledger_state::applied,
          .applied_at = "2026-11-22 10:43:00",
          .duration_ms = 1,
          .app_version = "0.1.0"};
}

std::vector<ledger_row> history(std::size_t count) {
  std::vector<ledger_row> rows;
  for (std::size_t i = 0; i < count; ++i) rows.push_back(row_of(three[i]));
  return rows;
}

TEST(sha256_hex, gives_the_digest_of_fips_180) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(display_name, pads_the_number_to_four_digits) {
  EXPECT_EQ(display_name(7, "x"), "0007_x");
  EXPECT_EQ(display_name(12345, "x"), "12345_x");
}

TEST(judge, empty_database_gets_everything) {
  const auto plan = judge(three, {});

  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->current, 0);
  EXPECT_EQ(plan->first, 0U);
}

TEST(judge, partly_migrated_database_gets_the_rest) {
  const auto plan = judge(three, history(2));

  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->current, 2);
  EXPECT_EQ(plan->first, 2U);
  EXPECT_FALSE(plan->is_resuming);
}

TEST(judge, rows_may_come_in_any_order) {
  auto rows = history(3);
  std::ranges::reverse(rows);

  const auto plan = judge(three, rows);

  ASSERT_TRUE(plan.has_value());
  EXPECT_EQ(plan->current, 3);
  EXPECT_EQ(plan->first, 3U);
}

TEST(judge, last_file_outside_a_transaction_is_resumed_after_a_failure) {
  for (const ledger_state state : {ledger_state::failed, ledger_state::running}) {
    auto rows = history(3);
    rows[2].state = state;
    rows[2].up_sha256 = sha256_hex("what it was before it was repaired");

    const auto plan = judge(three, rows);

    ASSERT_TRUE(plan.has_value()) << plan.error().sentence;
    EXPECT_EQ(plan->current, 2);
    EXPECT_EQ(plan->first, 2U);
    EXPECT_TRUE(plan->is_resuming);
  }
}

struct broken_history {
  const char* name;
  std::function<void(std::vector<ledger_row>&)> damage;
  migration_errc code;
  const char* sentence;
};

class refused_history : public testing::TestWithParam<broken_history> {};

TEST_P(refused_history, is_refused_with_one_clear_sentence) {
  auto rows = history(3);
  GetParam().damage(rows);

  const auto plan = judge(three, rows);

  ASSERT_TRUE(plan.has_error());
  EXPECT_EQ(plan.error().code, GetParam().code);
  EXPECT_EQ(plan.error().sentence, GetParam().sentence);
}

INSTANTIATE_TEST_SUITE_P(
    judge, refused_history,
    testing::Values(
        broken_history{"edited_up", [](auto& rows) { rows[1].up_sha256 = sha256_hex("another text"); },
                       migration_errc::edited,
                       "The file 0002_two.up.sql was edited after it was applied (2026-11-22 10:43:00): "
                       "restore it and put the change into a new migration."},
        broken_history{"edited_down", [](auto& rows) { rows[0].down_sha256[0] ^= 1; }, migration_errc::edited,
                       "The file 0001_one.down.sql was edited after it was applied (2026-11-22 10:43:00): "
                       "restore it and put the change into a new migration."},
        broken_history{"out_of_order", [](auto& rows) { rows.erase(rows.begin() + 1); },
                       migration_errc::out_of_order,
                       "Migration 2 was never applied although 3 was: the order of the history is broken."},
        broken_history{"first_missing", [](auto& rows) { rows.erase(rows.begin()); },
                       migration_errc::out_of_order,
                       "Migration 1 was never applied although 2 was: the order of the history is broken."},
        broken_history{"newer",
                       [](auto& rows) {
                         rows.push_back(rows.back());
                         rows.back().version = 9;
                         rows.back().name = "nine";
                       },
                       migration_errc::newer,
                       "The database is at migration 9 (nine), this binary knows only up to 3: use the newer "
                       "binary."},
        broken_history{"renamed", [](auto& rows) { rows[1].name = "zwei"; }, migration_errc::renamed,
                       "Migration 2 is called \"zwei\" in the database and \"two\" here: keep the old name."},
        broken_history{"failed_transactional",
                       [](auto& rows) {
                         rows.pop_back();
                         rows[1].state = ledger_state::failed;
                       },
                       migration_errc::unfinished,
                       "Migration 0002_two is failed in the database and cannot be resumed: look at what it "
                       "left, then correct its row in schema_migrations."},
        broken_history{"running_in_the_middle", [](auto& rows) { rows[0].state = ledger_state::running; },
                       migration_errc::unfinished,
                       "Migration 0001_one is running in the database and cannot be resumed: look at what it "
                       "left, then correct its row in schema_migrations."}),
    [](const auto& info) { return info.param.name; });

TEST(judge, binary_with_a_gap_is_refused) {
  const std::array<migrations::migration, 2> gapped{three[0], three[2]};

  const auto plan = judge(gapped, {});

  ASSERT_TRUE(plan.has_error());
  EXPECT_EQ(plan.error().code, migration_errc::gap);
  EXPECT_EQ(plan.error().sentence,
            "This binary has no migration 2 although it has 3: it was built from an incomplete folder.");
}

TEST(judge, embedded_migrations_count_from_one_without_a_gap) {
  EXPECT_TRUE(judge(migrations::embedded_migrations(), {}).has_value());
}

}  // namespace
}  // namespace pam::cli
