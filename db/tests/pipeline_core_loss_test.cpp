// Connections that are lost, and servers whose batches are not atomic.
#include "db/detail/pipeline_core.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/tests/core_driver.hpp"

namespace pam::db::detail {
namespace {

using namespace testing;
using ::testing::ElementsAre;

// ---- lost connections ----

TEST(pipeline_core, a_lost_connection_leaves_the_queue_for_another) {
  core_driver d{{.channels = 2}};
  d.core.open(0, {});
  d.core.open(1, {});
  entry& a = d.submit(read_one);

  d.core.lose(0, d.now);

  EXPECT_THAT(d.take(1), ElementsAre(&a));
}

TEST(pipeline_core, what_is_safe_to_repeat_is_sent_again_in_its_old_order) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 2});
  entry& a = d.submit(read_one);
  d.take();
  entry& b = d.submit(read_one);
  d.take();
  entry& c = d.submit(read_one);

  d.core.lose(0, d.now);
  d.core.open(0, {});

  EXPECT_THAT(d.take(), ElementsAre(&a, &b, &c));
}

TEST(pipeline_core, what_may_run_once_ends_as_unknown) {
  core_driver d;
  d.core.open(0, {});
  entry& once = d.submit(charge_once, "a");
  d.take();

  d.core.lose(0, d.now);

  EXPECT_THAT(d.finished(), ElementsAre(&once));
  EXPECT_EQ(once.failure.code, errc::connection);
  EXPECT_EQ(once.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, what_may_run_once_stays_queued_when_it_was_not_sent) {
  core_driver d;
  d.core.open(0, {});
  entry& once = d.submit(charge_once, "a");

  d.core.lose(0, d.now);
  d.core.open(0, {});

  EXPECT_THAT(d.take(), ElementsAre(&once));
}

TEST(pipeline_core, what_was_rolled_back_for_certain_is_sent_again_whatever_it_is) {
  core_driver d;
  d.core.open(0, {});
  entry& once = d.submit(charge_once, "a");
  entry& bad = d.submit(touch_account, "b");
  d.take();
  ASSERT_TRUE(d.core.executed(0));
  ASSERT_TRUE(d.core.rejected(0, failure_with("23505")));

  d.core.lose(0, d.now);
  d.core.open(0, {});

  EXPECT_THAT(d.finished(), ElementsAre(&bad));
  EXPECT_EQ(bad.failure.sqlstate, "23505");
  EXPECT_THAT(d.take(), ElementsAre(&once));
}

TEST(pipeline_core, a_repeated_statement_that_expires_is_unknown_though_it_waits_in_the_queue) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(touch_session, "a", 50ms);
  d.take();
  d.core.lose(0, d.now);

  d.advance(50ms);

  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_EQ(a.failure.code, errc::unavailable);
  EXPECT_EQ(a.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, a_repeated_statement_that_is_rejected_is_unknown_since_it_may_have_run_before) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(touch_session, "a");
  d.take();
  d.core.lose(0, d.now);
  d.core.open(0, {});
  d.take();

  d.fail_batch(0, "23505");

  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_EQ(a.failure.code, errc::rejected);
  EXPECT_EQ(a.failure.sqlstate, "23505");
  EXPECT_EQ(a.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, a_repeated_statement_that_meets_the_shutdown_is_unknown) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  d.submit(touch_session, "b");
  d.take();
  d.core.lose(0, d.now);
  d.core.open(0, {});
  d.take();
  d.core.shut_down();

  d.fail_batch(1, "23505");

  EXPECT_EQ(d.finished().size(), 2U);
  EXPECT_EQ(a.failure.code, errc::closed);
  EXPECT_EQ(a.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, it_makes_progress_while_an_answer_or_a_channel_is_to_come) {
  core_driver d;
  EXPECT_FALSE(d.core.is_progressing());
  d.submit(read_one);
  EXPECT_FALSE(d.core.is_progressing());
  d.core.open(0, {});
  EXPECT_TRUE(d.core.is_progressing());
  d.take();
  d.core.pause(0);
  EXPECT_TRUE(d.core.is_progressing());
  d.submit(read_one);
  d.answer_batch();
  EXPECT_FALSE(d.core.is_progressing());
}

TEST(pipeline_core, a_statement_that_lost_two_connections_goes_alone) {
  core_driver d;
  entry& suspect = d.make(touch_session, "a");
  ASSERT_TRUE(d.core.submit(suspect));
  for (int i = 0; i < 2; ++i) {
    d.core.open(0, {});
    d.take();
    d.core.lose(0, d.now);
  }
  entry& innocent = d.submit(read_one);
  d.core.open(0, {.batches_in_flight = 2});

  EXPECT_THAT(d.take(), ElementsAre(&suspect));
  EXPECT_THAT(d.take(), ElementsAre(&innocent));
}

// ---- Citus ----

TEST(pipeline_core, without_atomic_batches_what_preceded_the_culprit_is_done) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& a = d.submit(charge_once, "a");
  entry& bad = d.submit(charge_once, "b");
  entry& c = d.submit(charge_once, "c");
  d.take();

  d.fail_batch(1, "23505");

  EXPECT_THAT(d.finished(), ElementsAre(&a, &bad));
  EXPECT_FALSE(a.has_failed);
  EXPECT_TRUE(bad.has_failed);
  EXPECT_THAT(d.take(), ElementsAre(&c));
}

TEST(pipeline_core, without_atomic_batches_a_failed_commit_is_unknown_for_all) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& a = d.submit(read_one);
  entry& b = d.submit(read_one);
  d.take();

  d.fail_sync("23503");

  EXPECT_THAT(d.finished(), ElementsAre(&a, &b));
  EXPECT_EQ(a.failure.outcome, outcome::unknown);
  EXPECT_TRUE(d.core.is_idle());
}

TEST(pipeline_core, without_atomic_batches_a_failed_commit_of_a_single_statement_is_unknown_too) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& once = d.submit(charge_once, "a");
  d.take();

  d.fail_sync("40001");

  EXPECT_THAT(d.finished(), ElementsAre(&once));
  EXPECT_EQ(once.failure.sqlstate, "40001");
  EXPECT_EQ(once.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, without_atomic_batches_a_lost_worker_leaves_in_doubt_what_may_run_once) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& once = d.submit(charge_once, "a");
  d.take();

  d.fail_batch(0, "08006");

  EXPECT_FALSE(d.core.has_moved(0));
  EXPECT_THAT(d.finished(), ElementsAre(&once));
  EXPECT_EQ(once.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, without_atomic_batches_a_lost_worker_is_tried_a_bounded_number_of_times) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& safe = d.submit(touch_session, "a", 1h);

  std::size_t tries = 0;
  while (!d.core.is_idle() && tries < 100) {
    if (d.core.ready_channel()) {
      d.take();
      d.fail_batch(0, "08006");
      ++tries;
    }
    d.advance(400ms);
  }

  EXPECT_EQ(tries, 9U);
  EXPECT_THAT(d.finished(), ElementsAre(&safe));
  EXPECT_EQ(safe.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, without_atomic_batches_a_lost_connection_after_an_error_keeps_them_apart) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& before = d.submit(charge_once, "a");
  entry& bad = d.submit(charge_once, "b");
  entry& after = d.submit(charge_once, "c");
  d.take();
  ASSERT_TRUE(d.core.executed(0));
  ASSERT_TRUE(d.core.rejected(0, failure_with("23505")));

  d.core.lose(0, d.now);
  d.core.open(0, {});

  EXPECT_THAT(d.finished(), ElementsAre(&before, &bad));
  EXPECT_EQ(before.failure.outcome, outcome::unknown);
  EXPECT_THAT(d.take(), ElementsAre(&after));
}

}  // namespace
}  // namespace pam::db::detail
