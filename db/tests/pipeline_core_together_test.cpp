#include "db/detail/pipeline_core.hpp"

#include <algorithm>
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
using ::testing::UnorderedElementsAreArray;

// ---- reads that travel together ----

TEST(statement, the_form_for_several_takes_arrays_and_numbers_the_callers) {
  static constexpr auto made = for_several("SELECT x FROM t WHERE a = $1 AND b < $2 OR a > $1", 2);

  EXPECT_STREQ(
      made.c_str(),
      "SELECT k.n, r.* FROM unnest((SELECT $1), (SELECT $2)) WITH ORDINALITY AS k(p1, p2, n) "
      "CROSS JOIN LATERAL (SELECT x FROM t WHERE a = k.p1 AND b < k.p2 OR a > k.p1 OFFSET 0) r ORDER BY "
      "k.n");
}

TEST(pipeline_core, reads_of_one_statement_in_a_batch_are_one_run) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_key);
  entry& write = d.submit(touch_session, "s");
  entry& other = d.submit(read_one);
  entry& b = d.submit(read_key);

  const auto batch = d.take();

  ASSERT_EQ(batch.size(), 4U);
  EXPECT_EQ(a.run, 2U);
  EXPECT_EQ(b.run, 0U);
  EXPECT_EQ(other.run, 1U);
  EXPECT_EQ(write.run, 1U);
  EXPECT_EQ(d.core.counters().together.get(), 2U);
}

TEST(pipeline_core, one_answer_is_that_of_a_whole_run) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_key);
  entry& b = d.submit(read_key);
  d.take();

  EXPECT_THAT(d.core.answering_run(0), ElementsAre(&a, &b));
  ASSERT_TRUE(d.core.executed(0));
  EXPECT_THAT(d.core.answering_run(0), IsEmpty());
  ASSERT_TRUE(d.core.synced(0, d.now));

  EXPECT_THAT(d.finished(), ElementsAre(&a, &b));
}

TEST(pipeline_core, a_lone_read_and_those_of_a_server_with_shards_travel_for_themselves) {
  core_driver d;
  d.core.open(0, {.atomic_batches = false});
  entry& a = d.submit(read_key);
  entry& b = d.submit(read_key);
  d.take();
  EXPECT_EQ(a.run, 1U);
  EXPECT_EQ(b.run, 1U);
  d.answer_batch();

  d.core.open(0, {});
  entry& alone = d.submit(read_key);
  d.take();
  EXPECT_EQ(alone.run, 1U);
  EXPECT_EQ(d.core.counters().together.get(), 0U);
}

TEST(pipeline_core, a_run_that_fails_goes_out_again_one_by_one_and_only_the_guilty_one_is_told) {
  core_driver d;
  d.core.open(0, {});
  entry& first = d.submit(read_one);
  entry& a = d.submit(read_key);
  entry& guilty = d.submit(read_key);
  entry& c = d.submit(read_key);
  d.take();
  ASSERT_TRUE(d.core.executed(0));
  ASSERT_TRUE(d.core.rejected(0, failure_with("22012")));
  ASSERT_TRUE(d.core.synced(0, d.now));
  EXPECT_THAT(d.finished(), IsEmpty());

  EXPECT_THAT(d.take(), ElementsAre(&first, &a, &guilty, &c));
  for (const entry* item : {&first, &a, &guilty, &c}) EXPECT_EQ(item->run, 1U);
  d.fail_batch(2, "22012");
  EXPECT_THAT(d.finished(), ElementsAre(&guilty));
  EXPECT_EQ(guilty.failure.sqlstate, "22012");
  d.take();
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&first, &a, &c));
  EXPECT_TRUE(d.ok);
}

TEST(pipeline_core, a_run_whose_plan_is_gone_asks_for_another_text) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_key);
  d.submit(read_key);
  d.take();
  a.was_sent_by_name = true;
  a.sent_epoch = a.traits->epoch;

  d.fail_batch(0, "0A000");

  EXPECT_EQ(a.traits->epoch, 1U);
  EXPECT_EQ(d.take().size(), 2U);
}

TEST(pipeline_core, a_run_that_failed_and_then_lost_its_connection_fails_nobody) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(read_key);
  entry& b = d.submit(read_key);
  d.take();
  ASSERT_TRUE(d.core.rejected(0, failure_with("22012")));

  d.core.lose(0, d.now);
  EXPECT_THAT(d.finished(), IsEmpty());

  d.core.open(0, {});
  EXPECT_THAT(d.take(), ElementsAre(&a, &b));
  EXPECT_EQ(a.run, 1U);
}

TEST(pipeline_core, a_run_that_met_a_standby_stays_together_on_the_next_connection) {
  core_driver d{{.channels = 2}};
  d.core.open(0, {});
  d.core.open(1, {});
  entry& a = d.submit(read_key);
  d.submit(read_key);
  d.take(0);
  d.fail_batch(0, "25006");

  EXPECT_EQ(d.take(1).size(), 2U);
  EXPECT_EQ(a.run, 2U);
}

// ---- writes that travel together ----

TEST(pipeline_core, writes_of_rows_of_their_own_are_one_run_in_the_order_of_the_rows) {
  core_driver d;
  d.core.open(0, {});
  entry& c = d.submit(move_session, "c");
  entry& a = d.submit(move_session, "a");
  entry& e = d.submit(move_session, "e");
  entry& b = d.submit(move_session, "b");

  EXPECT_THAT(d.take(), ElementsAre(&a, &b, &c, &e));

  EXPECT_EQ(a.run, 4U);
  for (const entry* item : {&b, &c, &e}) EXPECT_EQ(item->run, 0U);
  EXPECT_THAT(d.core.answering_run(0), ElementsAre(&a, &b, &c, &e));
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&a, &b, &c, &e));
  EXPECT_EQ(d.core.counters().together.get(), 4U);
  EXPECT_TRUE(d.ok);
}

TEST(pipeline_core, two_writes_of_one_row_never_share_a_statement) {
  core_driver d{{.writes_together = 2}};
  d.core.open(0, {});
  entry& a = d.submit(move_session, "a");
  entry& b = d.submit(move_session, "b");
  entry& again = d.submit(move_session, "b");
  entry& c = d.submit(move_session, "c");

  EXPECT_THAT(d.take(), ElementsAre(&a, &b, &again, &c));

  EXPECT_EQ(a.run, 2U);
  EXPECT_EQ(b.run, 0U);
  EXPECT_EQ(again.run, 2U);
  EXPECT_EQ(c.run, 0U);
}

TEST(pipeline_core, another_write_between_them_divides_writes) {
  core_driver d{{.writes_together = 2}};
  d.core.open(0, {});
  entry& a = d.submit(move_session, "a");
  entry& b = d.submit(move_session, "b");
  entry& other = d.submit(touch_session, "c");
  entry& e = d.submit(move_session, "e");

  d.take();

  EXPECT_EQ(a.run, 2U);
  EXPECT_EQ(b.run, 0U);
  EXPECT_EQ(other.run, 1U);
  EXPECT_EQ(e.run, 1U);
}

TEST(pipeline_core, few_writes_and_those_of_a_server_with_shards_travel_for_themselves) {
  core_driver d;
  d.core.open(0, {});
  for (const char* key : {"a", "b", "c"}) d.submit(move_session, key);
  for (const entry* item : d.take()) EXPECT_EQ(item->run, 1U);
  d.answer_batch();

  d.core.open(0, {.atomic_batches = false});
  for (const char* key : {"a", "b", "c", "e", "f"}) d.submit(move_session, key);
  for (const entry* item : d.take()) EXPECT_EQ(item->run, 1U);
  EXPECT_EQ(d.core.counters().together.get(), 0U);
}

TEST(pipeline_core, writes_that_failed_together_go_again_one_by_one_and_only_the_guilty_one_is_told) {
  core_driver d;
  d.core.open(0, {});
  entry& a = d.submit(charge_cell_once, "a");
  entry& guilty = d.submit(charge_cell_once, "b");
  entry& c = d.submit(charge_cell_once, "c");
  entry& e = d.submit(charge_cell_once, "e");
  d.take();
  d.fail_batch(0, "22012");
  EXPECT_THAT(d.finished(), IsEmpty());

  EXPECT_THAT(d.take(), ElementsAre(&a, &guilty, &c, &e));
  for (const entry* item : {&a, &guilty, &c, &e}) EXPECT_EQ(item->run, 1U);
  d.fail_batch(1, "22012");
  EXPECT_THAT(d.finished(), ElementsAre(&guilty));
  EXPECT_EQ(guilty.failure.outcome, outcome::executed);
  d.take();
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&a, &c, &e));
  EXPECT_EQ(d.core.counters().data_errors.get(), 1U);
}

// The first lock timeout told that there is a locked row; who wants it is found out without a second one.
TEST(pipeline_core, writes_that_met_a_locked_row_together_hurry_to_find_whose_it_is) {
  core_driver d;
  d.core.open(0, {});
  entry& read = d.submit(read_one);
  entry& a = d.submit(move_session, "a");
  entry& waits = d.submit(move_session, "b");
  entry& c = d.submit(move_session, "c");
  entry& e = d.submit(move_session, "e");
  d.take();
  d.fail_batch(1, "55P03");

  const auto again = d.take();
  EXPECT_THAT(again, ElementsAre(&read, &a, &waits, &c, &e));
  for (const entry* item : again) {
    EXPECT_TRUE(item->is_hurried);
    EXPECT_EQ(item->run, 1U);
  }
  d.fail_batch(2, "55P03");
  EXPECT_THAT(d.finished(), IsEmpty());
  EXPECT_THAT(d.take(), ElementsAre(&read, &a, &c, &e));
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&read, &a, &c, &e));
  d.advance(1s);
  EXPECT_THAT(d.take(), ElementsAre(&waits));
  EXPECT_FALSE(waits.is_hurried);
  d.answer_batch();
  EXPECT_THAT(d.finished(), ElementsAre(&waits));
}

TEST(pipeline_core, writes_whose_connection_was_lost_together_are_repeated_only_if_they_may_be) {
  core_driver d{{.writes_together = 2}};
  d.core.open(0, {});
  entry& a = d.submit(move_session, "a");
  entry& b = d.submit(move_session, "b");
  entry& once = d.submit(charge_cell_once, "a");
  entry& other = d.submit(charge_cell_once, "b");
  d.take();
  ASSERT_EQ(a.run, 2U);
  ASSERT_EQ(once.run, 2U);
  ASSERT_TRUE(d.core.executed(0));

  d.core.lose(0, d.now);

  EXPECT_THAT(d.finished(), ElementsAre(&once, &other));
  EXPECT_EQ(other.failure.outcome, outcome::unknown);
  d.core.open(0, {});
  EXPECT_THAT(d.take(), ElementsAre(&a, &b));
}

TEST(pipeline_core, a_commit_that_fails_is_found_out_of_writes_that_travelled_together) {
  core_driver d;
  d.core.open(0, {});
  std::vector<entry*> all;
  for (const char* key : {"a", "b", "c", "e", "f", "g", "h", "i"})
    all.push_back(&d.submit(charge_cell_once, key));
  const entry* const guilty = all[5];
  std::vector<entry*> told;
  for (int round = 0; round < 8 && !d.core.is_idle(); ++round) {
    const auto batch = d.take();
    if (std::find(batch.begin(), batch.end(), guilty) != batch.end()) {
      d.fail_sync("23503");
    } else {
      d.answer_batch();
    }
    for (entry* item : d.finished()) told.push_back(item);
  }

  EXPECT_THAT(told, UnorderedElementsAreArray(all));
  for (const entry* item : all) EXPECT_EQ(item->has_failed, item == guilty);
  EXPECT_TRUE(d.ok);
}

}  // namespace
}  // namespace pam::db::detail
