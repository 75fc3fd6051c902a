#include "db/detail/replica_gate.hpp"

#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace pam::db::detail {
namespace {

using namespace std::chrono_literals;
using answer = replica_gate::answer;
using time_point = replica_gate::time_point;

constexpr std::uint32_t timeline = 3;

time_point at(std::chrono::milliseconds when) {
  return time_point{} + 1h + when;
}
wal_position place(std::uint64_t lsn, std::uint32_t on = timeline) {
  return {lsn, on};
}
replica_gate::account_id account(std::uint8_t number) {
  replica_gate::account_id id{};
  id.data[15] = number;
  return id;
}
const wal_position unknown{};

/// Two replicas that follow a primary, which stood at 1000 at 0 ms.
class replica_gate_test : public testing::Test {
 protected:
  replica_gate_test() { round(0ms, 1000, {1000, 1000}); }

  /// One round of probes, replicas first.
  void round(std::chrono::milliseconds when, std::uint64_t primary, std::array<std::uint64_t, 2> replayed,
             std::uint32_t on = timeline) {
    for (std::size_t i = 0; i < replayed.size(); ++i) gate.note_replica(i, at(when), replayed[i]);
    gate.note_primary(at(when + 1ms), place(primary, on));
    for (std::size_t i = 0; i < replayed.size(); ++i) gate.note_replica(i, at(when + 2ms), replayed[i]);
  }
  answer judged(const std::optional<replica_gate::account_id>& whose, const wal_position& seen,
                std::chrono::milliseconds when) {
    return gate.judge(whose, seen, at(when)).where;
  }

  replica_gate gate{gate_limits{}, 2};
};

// ---- who is in use ----

TEST_F(replica_gate_test, a_replica_in_step_is_admitted) {
  EXPECT_EQ(gate.admitted(), 2U);
  EXPECT_EQ(gate.ejections(), 0U);
}

TEST(replica_gate_start, nobody_is_asked_before_both_sides_are_known) {
  replica_gate gate{gate_limits{}, 1};
  gate.note_replica(0, at(0ms), 1000);

  EXPECT_EQ(gate.admitted(), 0U);
  EXPECT_EQ(gate.judge(std::nullopt, place(900), at(1ms)).where, answer::primary);
  EXPECT_EQ(gate.judge(account(1), unknown, at(1ms)).where, answer::primary);
  EXPECT_EQ(gate.choose(900, at(1ms)), replica_gate::nobody);
}

TEST_F(replica_gate_test, a_replica_that_is_a_second_behind_is_ejected) {
  const auto lsn = [](std::chrono::milliseconds when) {
    return 1000 + static_cast<std::uint64_t>(when.count());
  };
  for (auto when = 50ms; when <= 950ms; when += 50ms) round(when, lsn(when), {1000, lsn(when)});
  EXPECT_TRUE(gate.is_admitted(0));

  round(1000ms, 2000, {1000, 2000});

  EXPECT_FALSE(gate.is_admitted(0));
  EXPECT_TRUE(gate.is_admitted(1));
}

TEST_F(replica_gate_test, a_replica_that_is_sixteen_megabytes_behind_is_ejected) {
  const std::uint64_t far = 1000 + (16U << 20U);
  round(50ms, far, {1000, far});
  EXPECT_TRUE(gate.is_admitted(0));

  round(100ms, far + 1, {1000, far + 1});

  EXPECT_FALSE(gate.is_admitted(0));
  EXPECT_TRUE(gate.is_admitted(1));
  EXPECT_EQ(gate.ejections(), 1U);
}

TEST_F(replica_gate_test, an_ejected_replica_is_readmitted_under_200_milliseconds_only) {
  const auto lsn = [](std::chrono::milliseconds when) {
    return 1000 + static_cast<std::uint64_t>(when.count());
  };
  auto when = 50ms;
  for (; when <= 1100ms; when += 50ms) round(when, lsn(when), {1000, lsn(when)});
  ASSERT_FALSE(gate.is_admitted(0));

  round(when, lsn(when), {lsn(when - 300ms), lsn(when)});
  EXPECT_FALSE(gate.is_admitted(0));
  when += 50ms;
  round(when, lsn(when), {lsn(when - 100ms), lsn(when)});

  EXPECT_TRUE(gate.is_admitted(0));
}

TEST_F(replica_gate_test, a_replica_between_both_limits_stays_what_it_was) {
  const auto lsn = [](std::chrono::milliseconds when) {
    return 1000 + static_cast<std::uint64_t>(when.count());
  };
  for (auto when = 50ms; when <= 3000ms; when += 50ms) {
    round(when, lsn(when), {lsn(std::max(0ms, when - 500ms)), lsn(when)});
  }

  EXPECT_TRUE(gate.is_admitted(0));
  EXPECT_EQ(gate.ejections(), 0U);
}

TEST_F(replica_gate_test, a_replica_of_an_idle_primary_is_never_behind) {
  for (auto when = 50ms; when <= 5000ms; when += 50ms) round(when, 1000, {1000, 1000});

  EXPECT_EQ(gate.admitted(), 2U);
}

TEST_F(replica_gate_test, a_silent_replica_is_ejected_and_a_lost_one_at_once) {
  gate.note_lost(1);
  EXPECT_FALSE(gate.is_admitted(1));
  gate.tick(at(1002ms));
  EXPECT_TRUE(gate.is_admitted(0));

  gate.tick(at(1003ms));

  EXPECT_EQ(gate.admitted(), 0U);
  EXPECT_EQ(gate.ejections(), 2U);
}

TEST_F(replica_gate_test, a_replica_that_comes_back_must_show_again_where_it_is) {
  gate.note_lost(0);
  gate.note_lost(1);
  EXPECT_EQ(gate.choose(10, at(4ms)), replica_gate::nobody);

  gate.note_replica(0, at(50ms), 400);  // it crashed and replays again from its last restart point
  gate.note_primary(at(51ms), place(1000));
  gate.note_replica(0, at(52ms), 400);

  EXPECT_FALSE(gate.is_admitted(0));
}

// ---- another primary ----

TEST_F(replica_gate_test, a_new_timeline_puts_everybody_out_until_they_have_shown_that_they_follow) {
  gate.note_primary(at(50ms), place(1010, timeline + 1));
  EXPECT_EQ(gate.admitted(), 0U);

  gate.note_replica(0, at(60ms), 1010);
  gate.note_primary(at(61ms), place(1010, timeline + 1));
  gate.note_replica(0, at(70ms), 1010);

  EXPECT_TRUE(gate.is_admitted(0));
}

TEST_F(replica_gate_test, what_an_old_primary_said_is_never_compared_with_the_new_ones_log) {
  gate.note_primary(at(50ms), place(1010, timeline + 1));
  round(60ms, 1020, {1020, 1020}, timeline + 1);
  ASSERT_EQ(gate.admitted(), 2U);

  EXPECT_EQ(judged(std::nullopt, place(900, timeline), 63ms), answer::primary);
  EXPECT_EQ(judged(std::nullopt, place(900, timeline + 1), 63ms), answer::replica);
}

TEST_F(replica_gate_test, a_replica_that_kept_what_a_failover_lost_stays_out_even_when_it_is_overtaken) {
  gate.note_primary(at(50ms), place(1010, timeline + 1));
  std::uint64_t primary = 1010;
  for (auto when = 60ms; when < 3000ms; when += 50ms, primary += 10) {
    round(when, primary, {1205, primary}, timeline + 1);
    EXPECT_FALSE(gate.is_admitted(0)) << primary;
  }
  EXPECT_TRUE(gate.is_admitted(1));

  primary += 10;
  round(3000ms, primary, {primary, primary}, timeline + 1);  // rewound by its operator

  round(3050ms, primary, {primary, primary}, timeline + 1);
  EXPECT_TRUE(gate.is_admitted(0));
}

TEST_F(replica_gate_test, a_log_that_has_become_shorter_is_another_servers) {
  gate.note_primary(at(50ms), place(500));

  EXPECT_EQ(gate.admitted(), 0U);
}

// ---- which place a read needs ----

TEST_F(replica_gate_test, what_the_primary_said_in_the_same_request_is_what_is_needed) {
  const auto verdict = gate.judge(account(1), place(1234), at(10ms));

  EXPECT_EQ(verdict.where, answer::replica);
  EXPECT_EQ(verdict.need, 1234U);
  EXPECT_EQ(gate.marks(), 0U);
}

TEST_F(replica_gate_test, an_account_nobody_knows_is_read_on_the_primary_for_two_seconds) {
  EXPECT_EQ(judged(account(1), unknown, 10ms), answer::primary);
  for (auto when = 50ms; when <= 2000ms; when += 50ms) round(when, 1000, {1000, 1000});
  EXPECT_EQ(judged(account(1), unknown, 2009ms), answer::primary);

  EXPECT_EQ(judged(account(1), unknown, 2010ms), answer::replica);
}

TEST_F(replica_gate_test, a_write_is_visible_on_a_replica_that_replayed_a_place_probed_after_it) {
  gate.note_write(account(1), at(10ms));
  EXPECT_EQ(judged(account(1), unknown, 11ms), answer::wait);
  gate.note_primary(at(10ms), place(1500));  // not asked after the write: says nothing about it
  EXPECT_EQ(judged(account(1), unknown, 11ms), answer::wait);

  gate.note_primary(at(12ms), place(1600));
  gate.note_primary(at(62ms), place(1700));

  const auto verdict = gate.judge(account(1), unknown, at(63ms));
  EXPECT_EQ(verdict.where, answer::replica);
  EXPECT_EQ(verdict.need, 1600U);
  EXPECT_EQ(gate.judge(account(2), unknown, at(63ms)).where, answer::primary);
}

TEST_F(replica_gate_test, a_later_write_asks_for_a_later_place) {
  gate.note_write(account(1), at(10ms));
  gate.note_primary(at(12ms), place(1600));
  gate.note_write(account(1), at(13ms));

  EXPECT_EQ(judged(account(1), unknown, 14ms), answer::wait);
}

TEST_F(replica_gate_test, a_mark_is_forgotten_after_thirty_seconds_and_its_account_is_a_stranger_again) {
  gate.note_write(account(1), at(10ms));
  gate.note_primary(at(30'000ms), place(1000));
  EXPECT_EQ(judged(account(1), unknown, 30'009ms), answer::replica);

  gate.note_primary(at(60'100ms), place(1000));

  EXPECT_EQ(judged(account(1), unknown, 60'110ms), answer::primary);
}

TEST(replica_gate_marks, are_bounded_and_the_oldest_goes_first) {
  gate_limits limits;
  limits.accounts = 3;
  replica_gate gate{limits, 1};
  for (std::uint8_t i = 1; i <= 5; ++i) gate.note_write(account(i), at(std::chrono::milliseconds{i}));
  gate.note_primary(at(10ms), place(1000));

  EXPECT_EQ(gate.marks(), 3U);
  EXPECT_EQ(gate.judge(account(5), unknown, at(11ms)).where, answer::replica);
  EXPECT_EQ(gate.judge(account(1), unknown, at(11ms)).where, answer::primary)
      << "forgotten, hence a stranger";
}

TEST_F(replica_gate_test, without_news_of_the_primary_nothing_is_read_elsewhere) {
  EXPECT_EQ(judged(std::nullopt, place(1000), 1001ms), answer::replica);

  EXPECT_EQ(judged(std::nullopt, place(1000), 1002ms), answer::primary);
  EXPECT_EQ(judged(account(1), unknown, 1002ms), answer::primary);
  EXPECT_EQ(judged(std::nullopt, unknown, 1002ms), answer::primary);
}

// ---- which replica ----

TEST_F(replica_gate_test, replicas_that_are_far_enough_take_turns) {
  const std::size_t first = gate.choose(1000, at(3ms));
  const std::size_t second = gate.choose(1000, at(3ms));

  EXPECT_NE(first, second);
  EXPECT_EQ(gate.choose(1000, at(3ms)), first);
}

TEST_F(replica_gate_test, of_those_not_far_enough_the_nearest_is_asked) {
  round(50ms, 1100, {1050, 1080});

  EXPECT_EQ(gate.choose(1090, at(53ms)), 1U);
  EXPECT_EQ(gate.choose(1060, at(53ms)), 1U);
  EXPECT_EQ(gate.choose(1080, at(53ms)), 1U);
}

TEST_F(replica_gate_test, one_that_is_too_far_behind_to_make_it_is_not_asked) {
  const auto lsn = [](std::chrono::milliseconds when) {
    return 1000 + static_cast<std::uint64_t>(when.count());
  };
  for (auto when = 50ms; when <= 500ms; when += 50ms) round(when, lsn(when), {1000, 1000});
  ASSERT_EQ(gate.admitted(), 2U);

  EXPECT_EQ(gate.choose(1400, at(503ms)), replica_gate::nobody);
  EXPECT_NE(gate.choose(1000, at(503ms)), replica_gate::nobody);
}

// ---- everything together ----

/// A primary whose log grows with every write, replicas that trail it, stop, crash and come back, and
/// processes that know nothing of each other. A read counts as stale when its replica had not replayed a
/// write of its account that was acknowledged before the read began.
struct world {
  explicit world(std::uint64_t seed) : random(seed) {}

  std::uint64_t pick(std::uint64_t below) { return random() % below; }
  time_point now() const { return at(clock); }

  std::mt19937_64 random;
  std::chrono::milliseconds clock{0};
  std::uint64_t log = 1000;
  std::array<std::uint64_t, 3> replayed{1000, 1000, 1000};
  std::array<std::chrono::milliseconds, 3> paused_until{};
  std::array<std::uint64_t, 8> written{};  ///< by account: the end of its last acknowledged write
};

void advance(world& of) {
  of.clock += 1ms;
  if (of.pick(4) == 0) of.log += of.pick(3) == 0 ? 200 : 8;  // other people's writes
  for (std::size_t i = 0; i < of.replayed.size(); ++i) {
    if (of.clock < of.paused_until[i]) continue;
    if (of.pick(3000) == 0) of.paused_until[i] = of.clock + std::chrono::milliseconds{of.pick(3000)};
    if (of.pick(2) == 0) of.replayed[i] += (of.log - of.replayed[i] + 1) / 2;
  }
}

void probe(world& of, replica_gate& gate) {
  for (std::size_t i = 0; i < of.replayed.size(); ++i) {
    if (of.pick(500) == 0) {
      of.replayed[i] -= std::min<std::uint64_t>(of.replayed[i], of.pick(500));  // crashed
      gate.note_lost(i);
    } else {
      gate.note_replica(i, of.now(), of.replayed[i]);
    }
  }
  gate.note_primary(of.now(), place(of.log));
}

TEST(replica_gate_model, no_process_reads_stale_whoever_wrote) {
  std::uint64_t on_replica = 0;
  std::uint64_t reads = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    world it{seed};
    std::vector<replica_gate> processes(3, replica_gate{gate_limits{}, it.replayed.size()});
    for (int step = 0; step < 20'000; ++step) {
      advance(it);
      if (step % 50 == 0) {
        for (replica_gate& one : processes) probe(it, one);
      }
      replica_gate& process = processes[it.pick(processes.size())];
      const auto whose = static_cast<std::uint8_t>(it.pick(it.written.size()));
      if (it.pick(3) == 0) {
        it.written[whose] = it.log += 16;
        process.note_write(account(whose), it.now());
        continue;
      }
      ++reads;
      const std::uint64_t must_show = it.written[whose];
      const auto verdict = process.judge(account(whose), place(it.log), it.now());
      const auto give_up = it.clock + process.limits().wait;
      while (verdict.where == answer::replica && it.clock < give_up) {
        const std::size_t which = process.choose(verdict.need, it.now());
        if (which == replica_gate::nobody) break;
        process.note_replica(which, it.now(), it.replayed[which]);
        if (it.replayed[which] >= verdict.need) {  // the answer itself says so
          ++on_replica;
          ASSERT_GE(it.replayed[which], must_show) << "seed " << seed << " step " << step;
          break;
        }
        for (int i = 0; i < 4; ++i) advance(it);
      }
    }
  }
  EXPECT_GT(on_replica, reads / 4);
}

TEST(replica_gate_model, one_process_reads_its_own_writes_by_marks_alone) {
  std::uint64_t on_replica = 0;
  std::uint64_t reads = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    world it{seed};
    replica_gate process{gate_limits{}, it.replayed.size()};
    for (int step = 0; step < 20'000; ++step) {
      advance(it);
      if (step % 50 == 0) probe(it, process);
      const auto whose = static_cast<std::uint8_t>(it.pick(it.written.size()));
      if (it.pick(200) == 0) {
        it.written[whose] = it.log += 16;
        process.note_write(account(whose), it.now());
        continue;
      }
      ++reads;
      const auto verdict = process.judge(account(whose), unknown, it.now());
      if (verdict.where != answer::replica) continue;
      const std::size_t which = process.choose(verdict.need, it.now());
      if (which == replica_gate::nobody || it.replayed[which] < verdict.need) continue;
      ++on_replica;
      ASSERT_GE(it.replayed[which], it.written[whose]) << "seed " << seed << " step " << step;
    }
  }
  EXPECT_GT(on_replica, reads / 3);
}

}  // namespace
}  // namespace pam::db::detail
