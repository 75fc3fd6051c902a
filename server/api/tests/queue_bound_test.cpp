#include "server/api/queue_bound.hpp"

#include <gtest/gtest.h>

namespace pam::api {
namespace {

using std::chrono::milliseconds;
using clock = queue_bound::clock;

constexpr std::size_t most = 4096;
constexpr milliseconds bearable{100};

/// A server that answers one request a millisecond, each after `latency`.
struct scene {
  queue_bound bound{most, bearable, most};
  clock::time_point now = clock::time_point{} + std::chrono::hours{1};

  void answer(std::size_t count, milliseconds latency) {
    for (std::size_t i = 0; i < count; ++i) {
      now += milliseconds{1};
      bound.left(now - latency, now, true);
    }
  }
};

TEST(queue_bound, holds_the_configured_bound_while_answers_come_in_time) {
  scene on;

  on.answer(10'000, milliseconds{90});

  EXPECT_EQ(on.bound.limit(), most);
  EXPECT_TRUE(on.bound.admits(most - 1));
  EXPECT_FALSE(on.bound.admits(most));
}

TEST(queue_bound, follows_the_rate_of_answers_once_they_have_been_late_for_half_a_second) {
  scene on;

  on.answer(400, milliseconds{150});
  EXPECT_EQ(on.bound.limit(), most);
  on.answer(300, milliseconds{150});

  // 1,000 a second for 100 ms.
  EXPECT_NEAR(static_cast<double>(on.bound.limit()), 100, 5);
  EXPECT_FALSE(on.bound.admits(110));
}

TEST(queue_bound, takes_a_pause_however_long_for_one_slow_moment) {
  scene on;
  on.answer(1'000, milliseconds{5});

  on.now += std::chrono::seconds{10};
  on.answer(300, milliseconds{9'000});
  on.answer(1'000, milliseconds{5});

  EXPECT_EQ(on.bound.limit(), most);
}

TEST(queue_bound, keeps_the_lower_bound_while_it_has_to_refuse) {
  scene on;
  on.answer(700, milliseconds{150});

  for (int i = 0; i < 50; ++i) {
    EXPECT_FALSE(on.bound.admits(most));
    on.answer(100, milliseconds{60});
  }

  EXPECT_NEAR(static_cast<double>(on.bound.limit()), 100, 5);
}

TEST(queue_bound, returns_to_the_configured_bound_after_a_second_without_refusals) {
  scene on;
  on.answer(700, milliseconds{150});

  on.answer(1'300, milliseconds{20});

  EXPECT_EQ(on.bound.limit(), most);
}

TEST(queue_bound, is_never_lowered_by_a_rate_that_nobody_was_refused_at) {
  scene on;
  on.answer(700, milliseconds{150});
  on.answer(110, milliseconds{20});
  const std::size_t before = on.bound.limit();

  for (int i = 0; i < 40; ++i) {  // 50 a second, in time
    on.now += milliseconds{19};
    on.answer(1, milliseconds{5});
  }

  EXPECT_GE(on.bound.limit(), before);
}

TEST(queue_bound, lets_a_few_in_however_slow_it_is) {
  scene on;

  for (int i = 0; i < 200; ++i) {  // 20 a second
    on.now += milliseconds{49};
    on.answer(1, milliseconds{900});
  }

  EXPECT_EQ(on.bound.limit(), queue_bound::least);
  EXPECT_TRUE(on.bound.admits(queue_bound::least - 1));
}

TEST(queue_bound, keeps_no_queue_beyond_what_keeps_the_database_busy) {
  scene on{.bound = queue_bound{most, bearable, 64}};

  on.answer(2'000, milliseconds{150});

  EXPECT_EQ(on.bound.limit(), 64);
}

TEST(queue_bound, takes_quick_refusals_by_others_neither_for_answers_nor_for_calm) {
  scene on;

  for (int i = 0; i < 1'000; ++i) {
    on.answer(1, milliseconds{150});
    for (int j = 0; j < 9; ++j) on.bound.left(on.now - milliseconds{1}, on.now, false);
  }

  EXPECT_NEAR(static_cast<double>(on.bound.limit()), 100, 5);
}

TEST(queue_bound, takes_those_who_waited_in_vain_for_late_and_not_for_served) {
  scene on;

  for (int i = 0; i < 1'000; ++i) {
    on.now += milliseconds{1};
    on.bound.left(on.now - std::chrono::seconds{5}, on.now, false);
  }

  EXPECT_EQ(on.bound.limit(), queue_bound::least);
}

TEST(queue_bound, without_a_bearable_wait_is_the_configured_bound) {
  queue_bound bound{most, milliseconds{0}, most};
  clock::time_point now = clock::time_point{} + std::chrono::hours{1};

  for (int i = 0; i < 2'000; ++i) {
    now += milliseconds{1};
    bound.left(now - std::chrono::seconds{9}, now, true);
  }

  EXPECT_EQ(bound.limit(), most);
}

}  // namespace
}  // namespace pam::api
