// Callers that leave, and deadlines that pass.
#include "db/detail/pipeline_core.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/tests/core_driver.hpp"

namespace pam::db::detail {
namespace {

using namespace testing;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

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

}  // namespace
}  // namespace pam::db::detail
