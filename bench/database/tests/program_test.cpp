// The program itself: what scripts learn from how it ends.
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include <gtest/gtest.h>

#include "bench/database/shell.hpp"

namespace pam::bench {
namespace {

struct outcome {
  std::string said;
  int status = 0;
};

outcome run_bench(const std::string& arguments) {
  const std::string said = output_of(PAM_BENCH_DB " " + arguments + " 2>&1; echo \"status $?\"");
  const auto at = said.rfind("status ");
  return {said.substr(0, at), std::atoi(said.c_str() + at + 7)};
}

TEST(bench_db, ends_with_0_when_it_did_what_was_asked) {
  EXPECT_EQ(run_bench("--help").status, 0);
}

TEST(bench_db, ends_with_1_and_the_reason_when_it_cannot_measure) {
  const outcome got = run_bench("--env /dev/null");

  EXPECT_EQ(got.status, 1);
  EXPECT_EQ(got.said, "bench_db: no servers are described in /dev/null\n");
}

TEST(bench_db, says_before_it_measures_that_its_result_could_not_be_written) {
  const outcome got = run_bench("--env /dev/null --json /nowhere/db.json");

  EXPECT_EQ(got.status, 1);
  EXPECT_EQ(got.said, "bench_db: --json: cannot write /nowhere/db.json\n");
}

TEST(bench_db, refuses_what_it_does_not_know) {
  EXPECT_GT(run_bench("--only nothing").status, 1);
}

}  // namespace
}  // namespace pam::bench
