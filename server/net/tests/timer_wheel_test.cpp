#include "server/net/detail/timer_wheel.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace pam::net::detail {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

const timer_wheel::clock::time_point origin{};

struct timer : timer_wheel::node {
  int number = 0;
};

std::vector<int> expired_at(timer_wheel& wheel, timer_wheel::clock::duration when) {
  std::vector<int> numbers;
  wheel.advance(origin + when,
                [&](timer_wheel::node& due) { numbers.push_back(static_cast<timer&>(due).number); });
  return numbers;
}

TEST(timer_wheel, a_timer_expires_after_its_time_and_once) {
  timer_wheel wheel(250ms, origin);
  timer one;
  one.number = 1;
  wheel.schedule(one, origin + 1s);

  EXPECT_THAT(expired_at(wheel, 1s), IsEmpty()) << "never early";
  EXPECT_THAT(expired_at(wheel, 1250ms), ElementsAre(1));
  EXPECT_THAT(expired_at(wheel, 10s), IsEmpty());
}

TEST(timer_wheel, a_cancelled_or_destroyed_timer_never_expires) {
  timer_wheel wheel(250ms, origin);
  timer cancelled;
  auto destroyed = std::make_unique<timer>();
  wheel.schedule(cancelled, origin + 1s);
  wheel.schedule(*destroyed, origin + 1s);

  timer_wheel::cancel(cancelled);
  destroyed.reset();

  EXPECT_THAT(expired_at(wheel, 1h), IsEmpty());
}

TEST(timer_wheel, rescheduling_replaces_the_time) {
  timer_wheel wheel(250ms, origin);
  timer one;
  wheel.schedule(one, origin + 1s);

  wheel.schedule(one, origin + 5s);

  EXPECT_THAT(expired_at(wheel, 4s), IsEmpty());
  EXPECT_THAT(expired_at(wheel, 6s).size(), 1u);
}

TEST(timer_wheel, times_beyond_one_turn_are_kept) {
  timer_wheel wheel(250ms, origin);
  timer one;
  wheel.schedule(one, origin + 1h);

  EXPECT_THAT(expired_at(wheel, 30min), IsEmpty());
  EXPECT_THAT(expired_at(wheel, 1h + 250ms).size(), 1u);
}

TEST(timer_wheel, a_time_in_the_past_expires_at_the_next_tick) {
  timer_wheel wheel(250ms, origin);
  timer one;
  static_cast<void>(expired_at(wheel, 10s));

  wheel.schedule(one, origin + 1s);

  EXPECT_THAT(expired_at(wheel, 10'250ms).size(), 1u);
}

TEST(timer_wheel, the_callback_may_reschedule_and_destroy_others) {
  timer_wheel wheel(250ms, origin);
  timer first;
  auto second = std::make_unique<timer>();
  wheel.schedule(first, origin + 1s);
  wheel.schedule(*second, origin + 1s);
  int calls = 0;

  wheel.advance(origin + 2s, [&](timer_wheel::node& due) {
    ++calls;
    second.reset();
    wheel.schedule(due, origin + 3s);
  });

  EXPECT_EQ(calls, 1);
  EXPECT_THAT(expired_at(wheel, 4s).size(), 1u);
}

TEST(timer_wheel, random_timers_expire_never_early_and_at_most_a_tick_late) {
  timer_wheel wheel(250ms, origin);
  std::mt19937 random(7);
  std::vector<timer> timers(1000);
  std::vector<std::chrono::milliseconds> wanted(timers.size());
  for (std::size_t i = 0; i < timers.size(); ++i) {
    timers[i].number = static_cast<int>(i);
    wanted[i] = std::chrono::milliseconds(random() % 300'000);
    wheel.schedule(timers[i], origin + wanted[i]);
  }
  std::size_t expired = 0;

  for (std::chrono::milliseconds now{0}; now <= 301s; now += 250ms) {
    for (const int number : expired_at(wheel, now)) {
      const auto late = now - wanted[static_cast<std::size_t>(number)];
      ASSERT_GT(late, 0ms);
      ASSERT_LE(late, 250ms);
      ++expired;
    }
  }
  EXPECT_EQ(expired, timers.size());
}

}  // namespace
}  // namespace pam::net::detail
