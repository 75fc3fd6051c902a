#include "server/api/admission.hpp"

#include <gtest/gtest.h>

namespace pam::api {
namespace {

using net::cost_class;
using std::chrono::milliseconds;
using clock = queue_bound::clock;

constexpr std::array<std::size_t, net::cost_classes> most{1'000, 400, 300, 2};

void enter(admission& into, cost_class cost, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) into.enter(cost);
}

/// One read a millisecond, each of them late, until the bound is what keeps the database busy: 100.
/// @return when that was
clock::time_point overload(admission& on) {
  clock::time_point now = clock::time_point{} + std::chrono::hours{1};
  for (int i = 0; i < 1'000; ++i) {
    now += milliseconds{1};
    on.enter(cost_class::read);
    on.leave(cost_class::read, now - milliseconds{300}, now, true);
  }
  return now;
}

TEST(admission, has_places_of_its_own_for_each_class_while_answers_come_in_time) {
  admission on(most, milliseconds{250}, 100);

  enter(on, cost_class::read, 400);

  EXPECT_TRUE(on.may_be_full());
  EXPECT_TRUE(on.is_full(cost_class::read));
  EXPECT_FALSE(on.is_full(cost_class::write));
  EXPECT_FALSE(on.is_full(cost_class::hash));
}

TEST(admission, lets_reads_and_writes_share_what_the_database_carries) {
  admission on(most, milliseconds{250}, 100);
  overload(on);
  const std::size_t limit = on.seen(cost_class::write).limit.load();
  ASSERT_EQ(limit, 100);

  enter(on, cost_class::read, limit - 20);
  enter(on, cost_class::write, 20);

  EXPECT_TRUE(on.may_be_full());
  EXPECT_TRUE(on.is_full(cost_class::read));
  EXPECT_TRUE(on.is_full(cost_class::write));
}

TEST(admission, gives_a_place_that_a_read_left_to_whoever_comes_next) {
  admission on(most, milliseconds{250}, 100);
  const clock::time_point now = overload(on);
  enter(on, cost_class::read, on.seen(cost_class::read).limit.load());
  ASSERT_TRUE(on.is_full(cost_class::write));

  on.leave(cost_class::read, now, now, true);

  EXPECT_FALSE(on.may_be_full());
  EXPECT_FALSE(on.is_full(cost_class::write));
}

TEST(admission, of_passwords_does_not_follow_the_database) {
  admission on(most, milliseconds{250}, 100);
  overload(on);
  enter(on, cost_class::read, 400);

  EXPECT_FALSE(on.is_full(cost_class::hash));
  enter(on, cost_class::hash, 2);
  EXPECT_TRUE(on.is_full(cost_class::hash));
}

}  // namespace
}  // namespace pam::api
