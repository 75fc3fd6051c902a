#include "load-tests/swarm/tally.hpp"

#include <gtest/gtest.h>

namespace pam::load {
namespace {

using namespace std::chrono_literals;

const histogram& latency_of(const phase_tally& seen, operation what) {
  return seen.rows[static_cast<std::size_t>(what)].latency;
}

TEST(phase_tally, an_action_is_late_when_it_begins_more_than_the_tolerance_after_its_time) {
  phase_tally seen;

  seen.begin(1ms, 50ms);
  seen.begin(50ms, 50ms);
  seen.begin(51ms, 50ms);
  seen.begin(200ms, 50ms);

  EXPECT_EQ(seen.begun, 4U);
  EXPECT_EQ(seen.late, 2U);
  EXPECT_EQ(seen.lateness, 302ms);
  EXPECT_EQ(seen.worst_lateness, 200ms);
}

// A generator or a server that lags shows in what it measures.
TEST(phase_tally, latency_counts_from_the_intended_start) {
  phase_tally seen;
  const auto begun_after = 200ms;
  const auto answered_in = 5ms;

  seen.begin(begun_after, 50ms);
  seen.answer(operation::read, begun_after + answered_in, false);

  EXPECT_EQ(latency_of(seen, operation::read).count(), 1U);
  EXPECT_EQ(latency_of(seen, operation::read).max(), 205ms);
}

TEST(phase_tally, bystanders_are_those_who_take_no_part_and_do_what_is_common) {
  phase_tally seen;

  seen.answer(operation::refresh, 1ms, true);
  seen.answer(operation::sign_in, 2ms, false);
  seen.answer(operation::list, 3ms, false);

  EXPECT_EQ(latency_of(seen, operation::refresh).count(), 1U);
  EXPECT_EQ(latency_of(seen, operation::sign_in).count(), 1U);
  EXPECT_EQ(seen.others.count(), 1U);
  EXPECT_EQ(seen.others.max(), 3ms);
}

TEST(tally, a_failure_counts_for_its_phase_its_operation_and_its_reason) {
  tally all;

  all.fail(phase::steady, operation::refresh, "503");
  all.fail(phase::storm, operation::refresh, "503");

  EXPECT_EQ(all.failed, 2U);
  EXPECT_EQ(all.by_phase[static_cast<std::size_t>(phase::steady)]
                .rows[static_cast<std::size_t>(operation::refresh)]
                .failed,
            1U);
  EXPECT_EQ(all.failures.at("refresh: 503"), 2U);
}

}  // namespace
}  // namespace pam::load
