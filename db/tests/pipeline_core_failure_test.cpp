// Statements that fail: who gets the error, and who goes out again.
#include "db/detail/pipeline_core.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/tests/core_driver.hpp"

namespace pam::db::detail {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// ---- a failing statement ----

TEST(pipeline_core, the_culprit_gets_its_error_and_the_others_go_out_again_at_once) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  entry& bad = d.submit(read_one);
  entry& c = d.submit(read_one);
  d.take();
  entry& newer = d.submit(read_one);

  d.fail_batch(1, "42501");

  EXPECT_THAT(d.finished(), ElementsAre(&bad));
  EXPECT_EQ(bad.failure.sqlstate, "42501");
  EXPECT_THAT(d.take(), ElementsAre(&a, &c));
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&a, &c));
  EXPECT_THAT(d.take(), ElementsAre(&newer));
  EXPECT_EQ(d.core.counters().resent.get(), 2U);
  EXPECT_TRUE(d.ok);
}

TEST(pipeline_core, an_error_of_the_commit_is_found_by_halves) {
  core_driver d;
  d.core.open(0, {});
  std::vector<entry*> all;
  for (int i = 0; i < 64; ++i) all.push_back(&d.submit(read_one));
  entry* const guilty = all[37];

  std::size_t guilty_batches = 0;
  while (d.core.ready_channel()) {
    const std::vector<entry*> batch = d.take();
    if (std::find(batch.begin(), batch.end(), guilty) == batch.end()) {
      d.answer_batch();
    } else {
      ++guilty_batches;
      d.fail_sync("23503");
    }
  }

  EXPECT_EQ(guilty_batches, 7U);  // log2(64) + 1
  EXPECT_EQ(d.finished().size(), 64U);
  for (const entry* item : all) EXPECT_EQ(item->has_failed, item == guilty);
  EXPECT_TRUE(d.core.is_idle());
}

TEST(pipeline_core, data_errors_in_a_shared_batch_are_counted_and_the_third_isolates_the_statement) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 4});
  for (int i = 0; i < 3; ++i) {
    d.submit(read_one);
    d.submit(touch_account, "x");
    d.take();
    d.fail_batch(1, "23505");
    d.take();
    d.answer_batch();
  }
  EXPECT_EQ(d.core.counters().data_errors.get(), 3U);

  entry& a = d.submit(read_one);
  entry& isolated = d.submit(touch_account, "x");
  entry& b = d.submit(read_one);

  EXPECT_THAT(d.take(), ElementsAre(&a, &b));
  EXPECT_THAT(d.take(), ElementsAre(&isolated));
}

TEST(pipeline_core, a_data_error_of_a_statement_that_was_alone_is_not_counted) {
  core_driver d;
  d.core.open(0, {});
  d.submit(touch_account, "x");
  d.take();

  d.fail_batch(0, "23505");

  EXPECT_EQ(d.core.counters().data_errors.get(), 0U);
  EXPECT_EQ(d.finished().size(), 1U);
}

TEST(pipeline_core, a_lock_timeout_backs_off_and_tries_again_alone) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 4});
  entry& other = d.submit(read_one);
  entry& locked = d.submit(touch_session, "a");
  d.take();

  d.fail_batch(1, "55P03");

  EXPECT_THAT(d.take(), ElementsAre(&other));
  d.answer_batch();
  EXPECT_EQ(d.core.ready_channel(), std::nullopt);
  ASSERT_TRUE(d.core.next_tick());
  EXPECT_LE(*d.core.next_tick() - d.now, 10ms);
  d.advance(10ms);
  entry& newer = d.submit(read_one);
  EXPECT_THAT(d.take(), ElementsAre(&locked));
  EXPECT_THAT(d.take(), ElementsAre(&newer));
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&other, &locked));
  EXPECT_FALSE(locked.has_failed);
}

TEST(pipeline_core, a_lock_that_never_comes_is_tried_a_bounded_number_of_times) {
  core_driver d;
  d.core.open(0, {});
  entry& locked = d.submit(touch_session, "a", 1h);

  std::size_t tries = 0;
  while (!d.core.is_idle() && tries < 100) {
    if (d.core.ready_channel()) {
      d.take();
      d.fail_batch(0, "55P03");
      ++tries;
    }
    d.advance(400ms);
  }

  EXPECT_EQ(tries, 9U);
  EXPECT_THAT(d.finished(), ElementsAre(&locked));
  EXPECT_EQ(locked.failure.sqlstate, "55P03");
}

TEST(pipeline_core, a_lock_is_not_tried_again_past_the_deadline) {
  core_driver d;
  d.core.open(0, {});
  entry& locked = d.submit(touch_session, "a", 4ms);
  d.take();

  d.fail_batch(0, "55P03");

  EXPECT_THAT(d.finished(), ElementsAre(&locked));
}

TEST(pipeline_core, a_statement_that_may_run_once_goes_again_when_contention_rolled_it_back) {
  for (const bool atomic : {true, false}) {
    core_driver d;
    d.core.open(0, {.atomic_batches = atomic});
    entry& once = d.submit(charge_once, "a");
    d.take();

    d.fail_batch(0, "40001");

    EXPECT_THAT(d.finished(), IsEmpty());
    d.advance(10ms);
    EXPECT_THAT(d.take(), ElementsAre(&once));
  }
}

TEST(pipeline_core, all_who_wait_for_one_row_back_off_together_and_try_again_under_one_sync) {
  core_driver d;
  d.core.open(0, {});
  entry& first = d.submit(touch_session, "locked");
  entry& second = d.submit(touch_session, "locked");
  entry& third = d.submit(touch_session, "locked");
  entry& same_key_elsewhere = d.submit(touch_account, "locked");
  entry& other = d.submit(touch_session, "z");
  d.take();

  d.fail_batch(0, "55P03");

  EXPECT_THAT(d.take(), ElementsAre(&other, &same_key_elsewhere));
  d.answer_batch();
  EXPECT_EQ(d.core.ready_channel(), std::nullopt);
  d.advance(10ms);
  EXPECT_THAT(d.take(), ElementsAre(&first, &second, &third));
  d.answer_batch();
  EXPECT_EQ(d.finished().size(), 5U);
  EXPECT_TRUE(d.core.is_idle());
}

TEST(pipeline_core, who_waits_for_another_row_is_not_sent_along) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 2});
  entry& a = d.submit(touch_session, "a");
  entry& b = d.submit(touch_session, "b");
  d.take();
  d.fail_batch(0, "55P03");
  d.take();
  d.fail_batch(0, "55P03");

  d.advance(10ms);

  EXPECT_THAT(d.take(), ElementsAre(&a));
  EXPECT_THAT(d.take(), ElementsAre(&b));
}

TEST(pipeline_core, an_abandoned_entry_is_dropped_when_its_row_is_locked) {
  core_driver d;
  d.core.open(0, {});
  d.submit(touch_session, "a");
  entry& gone = d.submit(touch_session, "a");
  d.take();
  d.core.abandon(gone);

  d.fail_batch(0, "55P03");

  EXPECT_THAT(d.released(), ElementsAre(&gone));
  EXPECT_EQ(d.core.queued(), 1U);
}

TEST(pipeline_core, work_that_goes_alone_and_work_that_is_shared_take_turns) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 8});
  entry& first = d.submit(sweep);
  entry& second = d.submit(sweep);
  entry& third = d.submit(sweep);
  entry& a = d.submit(read_one);

  EXPECT_THAT(d.take(), ElementsAre(&first));
  EXPECT_THAT(d.take(), ElementsAre(&a));
  entry& b = d.submit(read_one);
  EXPECT_THAT(d.take(), ElementsAre(&second));
  EXPECT_THAT(d.take(), ElementsAre(&b));
  EXPECT_THAT(d.take(), ElementsAre(&third));
}

TEST(pipeline_core, those_who_back_off_come_back_in_the_order_of_their_times) {
  core_driver d;
  d.core.open(0, {});
  std::vector<entry*> all;
  for (int i = 0; i < 20; ++i) {
    all.push_back(&d.submit(touch_session, std::to_string(i), 10s));
    d.take();
    d.fail_batch(0, "55P03");
    d.now += 1ms;
  }
  d.core.abandon(*all[3]);

  std::size_t seen = 0;
  while (!d.core.is_idle()) {
    ASSERT_TRUE(d.core.next_tick());
    ASSERT_GE(*d.core.next_tick() + 20ms, d.now);
    d.now = std::max(d.now, *d.core.next_tick());
    d.core.tick(d.now);
    while (d.core.ready_channel()) {
      seen += d.take().size();
      d.answer_batch();
    }
  }
  EXPECT_EQ(seen, 19U);
}

TEST(pipeline_core, a_serialization_failure_of_a_single_commit_is_tried_again) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(touch_session, "a");
  d.take();

  d.fail_sync("40001");
  EXPECT_THAT(d.finished(), IsEmpty());

  d.advance(10ms);
  d.take();
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_FALSE(a.has_failed);
}

TEST(pipeline_core, a_changed_result_type_raises_the_epoch_and_sends_again) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  entry& b = d.submit(read_one);
  d.take();
  a.was_sent_by_name = b.was_sent_by_name = true;

  d.fail_batch(0, "0A000");

  EXPECT_EQ(a.traits->epoch, 1U);
  EXPECT_THAT(d.take(), ElementsAre(&a, &b));
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&a, &b));
}

TEST(pipeline_core, one_migration_raises_the_epoch_once_however_many_batches_meet_it) {
  core_driver d{{.channels = 2}};
  d.core.open(0, {});
  d.core.open(1, {});
  entry& a = d.submit(read_one);
  d.take(0);
  entry& b = d.submit(read_one);
  d.take(1);
  a.was_sent_by_name = b.was_sent_by_name = true;

  d.fail_batch(0, "0A000", 0);
  d.fail_batch(0, "0A000", 1);

  EXPECT_EQ(a.traits->epoch, 1U);
}

TEST(pipeline_core, an_unknown_name_is_sent_again_a_bounded_number_of_times) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(d.finished(), IsEmpty());
    EXPECT_THAT(d.take(), ElementsAre(&a));
    a.was_sent_by_name = true;
    d.fail_batch(0, "26000");
  }

  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_EQ(a.failure.sqlstate, "26000");
}

TEST(pipeline_core, an_unsupported_feature_of_an_unnamed_statement_is_an_error_like_others) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  d.take();

  d.fail_batch(0, "0A000");

  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_EQ(a.traits->epoch, 0U);
}

TEST(pipeline_core, a_server_that_is_no_longer_the_primary_gets_nothing_more) {
  core_driver d{{.channels = 2}};
  d.core.open(0, {});
  entry& a = d.submit(touch_session, "a");
  entry& b = d.submit(charge_once, "b");
  d.take();

  d.fail_batch(0, "25006");

  EXPECT_TRUE(d.core.has_moved(0));
  EXPECT_EQ(d.core.ready_channel(), std::nullopt);
  d.core.lose(0, d.now);
  EXPECT_THAT(d.finished(), IsEmpty());
  d.core.open(1, {});
  EXPECT_THAT(d.take(1), UnorderedElementsAre(&a, &b));
}

TEST(pipeline_core, an_error_of_class_08_that_leaves_the_connection_is_a_rejection_like_others) {
  for (const char* state : {"08P01", "08006"}) {
    core_driver d;
    d.core.open(0, {});
    entry& bad = d.submit(touch_session, "a");
    d.take();

    d.fail_batch(0, state);

    EXPECT_FALSE(d.core.has_moved(0));
    EXPECT_THAT(d.finished(), ElementsAre(&bad));
    EXPECT_EQ(bad.failure.outcome, outcome::executed);
  }
}

TEST(pipeline_core, a_paused_channel_is_drained_when_its_last_batch_was_answered) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 2});
  d.submit(read_one);
  d.take();
  entry& second = d.submit(charge_once, "a");
  d.take();

  d.fail_batch(0, "25006");
  EXPECT_FALSE(d.core.is_drained(0));

  d.answer_batch();
  EXPECT_TRUE(d.core.is_drained(0));
  EXPECT_THAT(d.finished(), ElementsAre(&second));
  EXPECT_FALSE(second.has_failed);
}

TEST(pipeline_core, the_clock_of_a_batch_starts_when_the_one_before_it_was_answered) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 2});
  d.submit(read_one);
  d.take();
  d.submit(read_one);
  d.take();
  d.now += 3s;

  d.answer_batch();

  EXPECT_EQ(d.core.oldest_sent(0), d.now);
}

}  // namespace
}  // namespace pam::db::detail
