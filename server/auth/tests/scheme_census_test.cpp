#include "server/auth/scheme_census.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace {

using pam::auth::scheme_census;
using pam::auth::uuid;

const std::string own = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$dGFn";
const std::string bcrypt = "$2b$10$abcdefghijklmnopqrstuu";

uuid account(unsigned number) {
  uuid id{};
  for (std::size_t i = 0; i < 4; ++i) id.data[i] = static_cast<std::uint8_t>(number >> (8 * i));
  return id;
}

int imported_stand_ins(const scheme_census& census, const std::string& who = "nobody") {
  int imported = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string stand_in = census.stand_in(who + std::to_string(i) + "@example.com");
    if (!stand_in.empty()) EXPECT_EQ(stand_in, bcrypt);
    imported += stand_in.empty() ? 0 : 1;
  }
  return imported;
}

TEST(scheme_census, without_imported_hashes_the_pools_dummy_is_meant) {
  scheme_census census;
  EXPECT_EQ(imported_stand_ins(census), 0);
  for (unsigned i = 0; i < 100; ++i) census.note(account(i), own);
  EXPECT_EQ(imported_stand_ins(census), 0);
}

TEST(scheme_census, unknown_subjects_have_imported_hashes_as_often_as_accounts_do) {
  scheme_census census;
  for (unsigned i = 0; i < 1000; ++i) census.note(account(i), i % 4 == 0 ? bcrypt : own);

  const int imported = imported_stand_ins(census);

  EXPECT_GT(imported, 1900);
  EXPECT_LT(imported, 3100);
}

// Ten thousand samples of a stranger find a share that is wrong by a few per cent.
TEST(scheme_census, knows_the_share_of_many_accounts_to_a_fraction_of_a_per_cent) {
  constexpr unsigned rounds = 30;
  double error = 0;
  for (unsigned round = 0; round < rounds; ++round) {
    scheme_census census;
    for (unsigned i = 0; i < 20'000; ++i) census.note(account(round * 20'000 + i), i % 2 == 0 ? bcrypt : own);
    error += std::abs(imported_stand_ins(census, "nobody" + std::to_string(round) + '.') / 10'000.0 - 0.5);
  }

  EXPECT_LT(error / rounds, 0.0075);
}

TEST(scheme_census, where_all_are_imported_unknown_subjects_are_as_well) {
  scheme_census census;
  for (unsigned i = 0; i < 100; ++i) census.note(account(i), bcrypt);

  EXPECT_EQ(imported_stand_ins(census), 10'000);
}

TEST(scheme_census, a_subject_always_costs_the_same) {
  scheme_census census;
  for (unsigned i = 0; i < 1000; ++i) census.note(account(i), i % 2 == 0 ? bcrypt : own);
  const std::string first = census.stand_in("nobody@example.com");

  for (int i = 0; i < 100; ++i) EXPECT_EQ(census.stand_in("nobody@example.com"), first);
}

TEST(scheme_census, an_account_counts_once_however_often_it_is_tried) {
  scheme_census census;
  for (unsigned i = 0; i < 500; ++i) census.note(account(i), own);
  for (int i = 0; i < 100'000; ++i) census.note(account(1'000'000), bcrypt);

  EXPECT_LT(imported_stand_ins(census), 200);
}

TEST(scheme_census, an_upgraded_account_leaves_the_imported_ones) {
  scheme_census census;
  census.note(account(1), bcrypt);
  EXPECT_EQ(imported_stand_ins(census), 10'000);

  census.note(account(1), own);

  EXPECT_EQ(imported_stand_ins(census), 0);
}

}  // namespace
