#include "server/auth/statements.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>
#include <string>

namespace {

using pam::auth::statement_catalogue;

TEST(statement_catalogue, names_are_unique) {
  std::set<std::string_view> names;
  for (const auto* statement : statement_catalogue()) names.insert(statement->name.view());

  EXPECT_EQ(names.size(), statement_catalogue().size());
}

TEST(statement_catalogue, every_statement_has_a_summary_of_its_own) {
  std::set<std::string_view> summaries;
  for (const auto* statement : statement_catalogue()) {
    const std::string_view summary = statement->opts.summary;
    EXPECT_TRUE(!summary.empty() &&
                summary.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos)
        << statement->sql;
    EXPECT_TRUE(summaries.insert(summary).second) << summary;
  }
}

TEST(statement_catalogue, every_parameter_is_used_and_none_is_missing) {
  for (const auto* statement : statement_catalogue()) {
    for (std::size_t n = 1; n <= statement->parameter_count; ++n) {
      EXPECT_NE(statement->sql.find("$" + std::to_string(n)), std::string_view::npos)
          << statement->sql << " $" << n;
    }
    EXPECT_EQ(statement->sql.find("$" + std::to_string(statement->parameter_count + 1)),
              std::string_view::npos)
        << statement->sql;
  }
}

// What db/statement.hpp demands of them: the core sends them with others without a further look.
TEST(statement_catalogue, what_may_travel_together_stands_in_it_with_the_form_for_several) {
  using pam::db::pg_type;
  const std::map<pg_type, pg_type> arrays{{pg_type::uuid, pg_type::uuid_array},
                                          {pg_type::bytea, pg_type::bytea_array},
                                          {pg_type::int4, pg_type::int4_array},
                                          {pg_type::timestamptz, pg_type::timestamptz_array}};
  std::size_t count = 0;
  for (const auto* statement : statement_catalogue()) {
    const auto* const several = statement->opts.together;
    if (several == nullptr) continue;
    ++count;
    EXPECT_THAT(statement_catalogue(), testing::Contains(several)) << statement->sql;
    EXPECT_EQ(statement->opts.batch, pam::db::batch::shared) << statement->sql;
    EXPECT_EQ(several->opts.batch, pam::db::batch::shared) << statement->sql;
    EXPECT_EQ(several->opts.repeat, statement->opts.repeat) << statement->sql;
    EXPECT_EQ(several->opts.rank, statement->opts.rank) << statement->sql;
    EXPECT_EQ(several->opts.conflict_key, statement->opts.conflict_key) << statement->sql;
    EXPECT_EQ(several->parameter_count, statement->parameter_count) << statement->sql;
    for (std::size_t n = 0; n < statement->parameter_count; ++n) {
      EXPECT_EQ(several->parameter_types[n], arrays.at(statement->parameter_types[n])) << statement->sql;
    }
  }
  EXPECT_EQ(count, 4U);
}

// now() is the batch's start in a shared batch; times are parameters.
TEST(statement_catalogue, no_statement_reads_the_transaction_clock) {
  for (const auto* statement : statement_catalogue()) {
    EXPECT_EQ(statement->sql.find("now()"), std::string_view::npos) << statement->sql;
    EXPECT_EQ(statement->sql.find("current_timestamp"), std::string_view::npos) << statement->sql;
  }
}

TEST(statement_catalogue, every_writer_of_a_shared_batch_names_its_lock) {
  for (const auto* statement : statement_catalogue()) {
    const bool writes = statement->sql.find("UPDATE ") != std::string_view::npos ||
                        statement->sql.find("INSERT ") != std::string_view::npos;
    if (writes) EXPECT_NE(statement->opts.rank, pam::db::lock_rank::none) << statement->sql;
    if (writes) EXPECT_GE(statement->opts.conflict_key, 0) << statement->sql;
  }
}

TEST(statement_catalogue, the_shared_statements_of_sessions_carry_the_distribution_column) {
  for (const auto* statement : statement_catalogue()) {
    // A word of its own: not the report of sessions.
    const std::string sql{statement->sql};
    if (!std::regex_search(sql, std::regex{R"(\bsessions\b)"})) continue;
    EXPECT_NE(statement->sql.find("account_id"), std::string_view::npos) << statement->sql;
  }
}

}  // namespace
