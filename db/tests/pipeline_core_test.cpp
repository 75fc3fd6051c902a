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

// ---- batches ----

TEST(pipeline_core, everything_queued_goes_out_under_one_sync) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  entry& b = d.submit(read_one);

  EXPECT_THAT(d.take(), ElementsAre(&a, &b));
  EXPECT_EQ(d.core.in_flight(), 2U);
  EXPECT_EQ(d.core.queued(), 0U);
}

TEST(pipeline_core, an_entry_finishes_only_when_the_sync_of_its_batch_arrived) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  d.take();

  ASSERT_TRUE(d.core.executed(0));
  EXPECT_THAT(d.finished(), IsEmpty());

  ASSERT_TRUE(d.core.synced(0, d.now));
  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_FALSE(a.has_failed);
}

TEST(pipeline_core, a_batch_is_bounded_by_count) {
  core_driver d{{.batch = 2}};
  d.core.open(0, {.batches_in_flight = 2});
  for (int i = 0; i < 3; ++i) d.submit(read_one);

  EXPECT_EQ(d.take().size(), 2U);
  EXPECT_EQ(d.take().size(), 1U);
}

TEST(pipeline_core, a_batch_is_bounded_by_bytes_but_one_statement_always_fits) {
  core_driver d{{.batch_bytes = 1000}};
  d.core.open(0, {.batches_in_flight = 8});
  const std::string large(5000, 'x');
  const std::string half(450, 'x');
  d.submit(touch_session, large);
  for (int i = 0; i < 3; ++i) d.submit(touch_session, half);

  EXPECT_EQ(d.take().size(), 1U);
  EXPECT_EQ(d.take().size(), 1U);
}

TEST(pipeline_core, one_batch_is_in_flight_in_safe_mode) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 1});
  d.submit(read_one);
  d.take();
  d.submit(read_one);

  EXPECT_EQ(d.core.ready_channel(), std::nullopt);

  d.answer_batch();
  EXPECT_EQ(d.core.ready_channel(), 0U);
}

TEST(pipeline_core, the_least_loaded_channel_is_fed_first) {
  core_driver d{{.channels = 2}};
  d.core.open(0, {.batches_in_flight = 2});
  d.core.open(1, {.batches_in_flight = 2});
  d.submit(read_one);
  ASSERT_EQ(d.core.ready_channel(), 0U);
  d.take(0);
  d.submit(read_one);

  EXPECT_EQ(d.core.ready_channel(), 1U);
}

TEST(pipeline_core, nothing_is_sent_on_a_channel_that_is_closed_or_paused) {
  core_driver d{{.channels = 2}};
  d.submit(read_one);
  EXPECT_EQ(d.core.ready_channel(), std::nullopt);

  d.core.open(1, {});
  EXPECT_EQ(d.core.ready_channel(), 1U);

  d.core.pause(1);
  EXPECT_EQ(d.core.ready_channel(), std::nullopt);
}

TEST(pipeline_core, a_statement_marked_alone_has_a_batch_of_its_own) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 4});
  entry& a = d.submit(read_one);
  entry& lonely = d.submit(sweep);
  entry& b = d.submit(read_one);

  EXPECT_THAT(d.take(), ElementsAre(&a, &b));
  EXPECT_THAT(d.take(), ElementsAre(&lonely));
}

TEST(pipeline_core, a_statement_marked_alone_goes_first_when_it_is_the_oldest) {
  core_driver d;
  d.core.open(0, {.batches_in_flight = 4});
  entry& lonely = d.submit(sweep);
  entry& a = d.submit(read_one);

  EXPECT_THAT(d.take(), ElementsAre(&lonely));
  EXPECT_THAT(d.take(), ElementsAre(&a));
}

TEST(pipeline_core, writes_are_sorted_by_lock_key_and_reads_come_first) {
  core_driver d;
  d.core.open(0, {});
  entry& account = d.submit(touch_account, "a");
  entry& session_b = d.submit(touch_session, "b");
  entry& session_a = d.submit(touch_session, "a");
  entry& read = d.submit(read_one);

  EXPECT_THAT(d.take(), ElementsAre(&read, &session_a, &session_b, &account));
}

TEST(pipeline_core, writes_of_one_row_keep_their_order_of_submission) {
  core_driver d;
  d.core.open(0, {});
  entry& first = d.submit(touch_session, "a");
  entry& second = d.submit(touch_session, "a");
  entry& third = d.submit(touch_session, "a");

  EXPECT_THAT(d.take(), ElementsAre(&first, &second, &third));
}

TEST(pipeline_core, a_full_queue_refuses) {
  core_driver d{{.queue = 2}};
  d.submit(read_one);
  d.submit(read_one);
  entry& refused = d.submit(read_one);

  EXPECT_THAT(d.refused, ElementsAre(&refused));
  EXPECT_EQ(d.core.counters().queue_full.get(), 1U);
}

TEST(pipeline_core, entries_in_flight_do_not_count_against_the_queue) {
  core_driver d{{.queue = 1}};
  d.core.open(0, {});
  d.submit(read_one);
  d.take();
  d.submit(read_one);

  EXPECT_THAT(d.refused, IsEmpty());
}

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

// ---- callers that leave, deadlines ----

TEST(pipeline_core, an_abandoned_entry_in_the_queue_is_dropped) {
  core_driver d;
  d.core.open(0, {});
  entry& gone = d.submit(read_one);
  entry& stays = d.submit(read_one);

  d.core.abandon(gone);

  EXPECT_THAT(d.released(), ElementsAre(&gone));
  EXPECT_THAT(d.take(), ElementsAre(&stays));
}

TEST(pipeline_core, an_abandoned_entry_in_flight_keeps_its_place_until_the_sync) {
  core_driver d;
  d.core.open(0, {});
  entry& gone = d.submit(read_one);
  entry& stays = d.submit(read_one);
  d.take();

  d.core.abandon(gone);

  EXPECT_THAT(d.released(), IsEmpty());
  EXPECT_EQ(d.core.answering(0), &gone);
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&stays));
  EXPECT_THAT(d.released(), ElementsAre(&gone, &stays));
}

TEST(pipeline_core, an_abandoned_entry_is_not_sent_again) {
  core_driver d;
  d.core.open(0, {});
  entry& gone = d.submit(read_one);
  entry& bad = d.submit(read_one);
  d.take();
  d.core.abandon(gone);

  d.fail_batch(1, "42501");

  EXPECT_THAT(d.finished(), ElementsAre(&bad));
  EXPECT_TRUE(d.core.is_idle());
}

TEST(pipeline_core, an_abandoned_entry_leaves_the_group_that_waits_to_go_again) {
  core_driver d;
  d.core.open(0, {});
  entry& gone = d.submit(read_one);
  d.submit(read_one);
  d.take();
  d.fail_batch(1, "42501");

  d.core.abandon(gone);

  EXPECT_TRUE(d.core.is_idle());
  EXPECT_EQ(d.core.ready_channel(), std::nullopt);
}

TEST(pipeline_core, an_abandoned_entry_that_backs_off_is_dropped) {
  core_driver d;
  d.core.open(0, {});
  entry& locked = d.submit(touch_session, "a");
  d.take();
  d.fail_batch(0, "55P03");

  d.core.abandon(locked);

  EXPECT_TRUE(d.core.is_idle());
  EXPECT_THAT(d.released(), ElementsAre(&locked));
}

TEST(pipeline_core, who_lost_a_batch_to_a_locked_row_hurries_and_the_culprit_does_not) {
  core_driver driver;
  driver.core.open(0, {});
  entry& locked = driver.submit(touch_session, "a");
  entry& other = driver.submit(touch_session, "b");
  driver.take();

  driver.fail_batch(0, "55P03");

  EXPECT_FALSE(locked.is_hurried);
  EXPECT_TRUE(other.is_hurried);
  EXPECT_THAT(driver.take(), ElementsAre(&other));
}

TEST(pipeline_core, a_deadline_in_the_queue_means_not_sent) {
  core_driver d;
  d.core.open(0, {});
  entry& late = d.submit(read_one, {}, 5ms);
  d.submit(read_one, {}, 500ms);
  EXPECT_EQ(d.core.next_tick(), d.now + 5ms);

  d.advance(5ms);

  EXPECT_THAT(d.finished(), ElementsAre(&late));
  EXPECT_EQ(late.failure.code, errc::deadline);
  EXPECT_EQ(late.failure.outcome, outcome::not_sent);
  EXPECT_EQ(d.core.queued(), 1U);
}

TEST(pipeline_core, a_deadline_without_any_connection_says_unavailable) {
  core_driver d;
  entry& late = d.submit(read_one, {}, 5ms);

  d.advance(5ms);

  EXPECT_THAT(d.finished(), ElementsAre(&late));
  EXPECT_EQ(late.failure.code, errc::unavailable);
  EXPECT_EQ(late.failure.outcome, outcome::not_sent);
}

TEST(pipeline_core, a_deadline_in_flight_means_unknown_and_the_late_result_is_discarded) {
  core_driver d;
  d.core.open(0, {});
  entry& late = d.submit(read_one, {}, 5ms);
  d.take();

  d.advance(5ms);

  EXPECT_THAT(d.finished(), ElementsAre(&late));
  EXPECT_EQ(late.failure.outcome, outcome::unknown);
  EXPECT_THAT(d.released(), IsEmpty());
  d.answer_batch();
  EXPECT_THAT(d.finished(), IsEmpty());
  EXPECT_THAT(d.released(), ElementsAre(&late));
}

core_limits patient() {
  core_limits limits;
  limits.outcome_grace = 100ms;
  return limits;
}

TEST(pipeline_core, a_write_in_flight_past_its_deadline_is_answered_with_its_outcome) {
  core_driver d{patient()};
  d.core.open(0, {});
  entry& late = d.submit(touch_session, "a", 5ms);
  d.take();

  d.advance(104ms);

  EXPECT_THAT(d.finished(), IsEmpty());
  EXPECT_EQ(d.core.next_tick(), d.now + 1ms);
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&late));
  EXPECT_FALSE(late.has_failed);
}

TEST(pipeline_core, the_wait_for_an_outcome_ends_and_is_not_begun_again) {
  core_driver d{patient()};
  d.core.open(0, {});
  entry& late = d.submit(touch_session, "a", 5ms);
  d.take();
  d.advance(5ms);

  d.advance(100ms);

  EXPECT_THAT(d.finished(), ElementsAre(&late));
  EXPECT_EQ(late.failure.code, errc::deadline);
  EXPECT_EQ(late.failure.outcome, outcome::unknown);
}

TEST(pipeline_core, a_lost_write_is_sent_again_to_learn_its_outcome_past_its_deadline) {
  core_driver d{patient()};
  d.core.open(0, {});
  entry& late = d.submit(touch_session, "a", 5ms);
  d.take();
  d.core.lose(0, d.now);
  d.advance(50ms);
  d.core.open(0, {});

  EXPECT_THAT(d.take(), ElementsAre(&late));
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&late));
  EXPECT_FALSE(late.has_failed);
}

TEST(pipeline_core, nothing_is_awaited_of_a_read_or_of_a_write_that_was_not_sent) {
  core_driver d{patient()};
  d.core.open(0, {});
  entry& read = d.submit(read_one, {}, 5ms);
  d.take();
  entry& queued = d.submit(touch_session, "a", 5ms);

  d.advance(5ms);

  EXPECT_THAT(d.finished(), UnorderedElementsAre(&read, &queued));
  EXPECT_EQ(queued.failure.outcome, outcome::not_sent);
}

TEST(pipeline_core, an_overdue_entry_is_never_sent) {
  core_driver d;
  d.core.open(0, {});
  d.submit(read_one, {}, 5ms);
  d.now += 6ms;

  EXPECT_THAT(d.take(), IsEmpty());
  EXPECT_EQ(d.core.batches_in_flight(0), 0U);
}

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

// ---- impossible reports ----

TEST(pipeline_core, a_result_that_nobody_asked_for_breaks_the_connection) {
  core_driver d;
  d.core.open(0, {});

  EXPECT_FALSE(d.core.executed(0));
  EXPECT_FALSE(d.core.aborted(0));
  EXPECT_FALSE(d.core.rejected(0, failure_with("XX000")));
  EXPECT_FALSE(d.core.synced(0, d.now));
}

TEST(pipeline_core, a_sync_before_its_results_breaks_the_connection) {
  core_driver d;
  d.core.open(0, {});
  d.submit(read_one);
  d.take();

  EXPECT_FALSE(d.core.synced(0, d.now));
}

TEST(pipeline_core, one_result_too_many_breaks_the_connection) {
  core_driver d;
  d.core.open(0, {});
  d.submit(read_one);
  d.take();
  ASSERT_TRUE(d.core.executed(0));

  EXPECT_FALSE(d.core.executed(0));
}

TEST(pipeline_core, rows_after_an_error_and_aborts_without_one_break_the_connection) {
  core_driver d;
  d.core.open(0, {});
  d.submit(read_one);
  d.submit(read_one);
  d.take();
  EXPECT_FALSE(d.core.aborted(0));

  ASSERT_TRUE(d.core.rejected(0, failure_with("22012")));
  EXPECT_FALSE(d.core.executed(0));
  EXPECT_FALSE(d.core.rejected(0, failure_with("22012")));
}

// ---- shutting down ----

TEST(pipeline_core, shutting_down_refuses_and_finishes_what_was_not_sent) {
  core_driver d;
  d.core.open(0, {});
  entry& under_way = d.submit(read_one);
  d.take();
  entry& queued = d.submit(read_one);

  d.core.shut_down();

  EXPECT_THAT(d.finished(), ElementsAre(&queued));
  EXPECT_EQ(queued.failure.code, errc::closed);
  EXPECT_EQ(queued.failure.outcome, outcome::not_sent);
  d.submit(read_one);
  EXPECT_EQ(d.refused.size(), 1U);
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&under_way));
}

TEST(pipeline_core, a_connection_lost_after_shutting_down_answers_everybody) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_one);
  d.take();
  d.core.shut_down();

  d.core.lose(0, d.now);

  EXPECT_THAT(d.finished(), ElementsAre(&a));
  EXPECT_EQ(a.failure.code, errc::closed);
  EXPECT_EQ(a.failure.outcome, outcome::unknown);
  EXPECT_TRUE(d.core.is_idle());
}

}  // namespace
}  // namespace pam::db::detail
