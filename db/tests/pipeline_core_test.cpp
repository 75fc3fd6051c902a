#include "db/detail/pipeline_core.hpp"

#include <string>

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

TEST(pipeline_core, an_urgent_statement_goes_before_everything_that_waits) {
  core_driver d{{.batch = 2}};
  d.core.open(0, {.batches_in_flight = 4});
  entry& lonely = d.submit(sweep);
  entry& first = d.submit(read_one);
  entry& second = d.submit(read_one);
  entry& urgent = d.submit(read_now);

  EXPECT_THAT(d.take(), UnorderedElementsAre(&urgent, &first));
  EXPECT_THAT(d.take(), ElementsAre(&lonely));
  EXPECT_THAT(d.take(), ElementsAre(&second));
}

TEST(pipeline_core, an_urgent_statement_that_lost_its_connection_is_urgent_again) {
  core_driver d{{.batch = 1}};
  d.core.open(0, {});
  entry& waiting = d.submit(read_one);
  entry& urgent = d.submit(read_now);
  EXPECT_THAT(d.take(), ElementsAre(&urgent));

  d.core.lose(0, d.now);
  d.core.open(0, {.batches_in_flight = 2});

  EXPECT_THAT(d.take(), ElementsAre(&urgent));
  EXPECT_THAT(d.take(), ElementsAre(&waiting));
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
