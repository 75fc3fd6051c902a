// Random schedules against a simple model of a server: whatever happens, every entry is answered once,
// with its own result, and never told more than is true.
//
// PAM_DB_MODEL_SCHEDULES sets how many schedules each test runs (here 1,000).
#include <algorithm>
#include <array>
#include <cstdlib>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "db/detail/pipeline_core.hpp"
#include "db/tests/core_driver.hpp"

namespace pam::db::detail {
namespace {

using namespace testing;

/// One caller's view and the server's view of the same statement.
struct tracked : entry {
  std::size_t id = 0;
  std::size_t result = 0;   ///< id of the entry whose rows were delivered last
  std::size_t commits = 0;  ///< times the model server committed it
  std::size_t answers = 0;  ///< times its caller was answered
  std::size_t releases = 0;
  bool was_refused = false;
  bool has_left = false;
  bool is_doubtful = false;  ///< was in a batch that may have been committed, unheard of
};

constexpr std::size_t channels = 3;

class model {
 public:
  model(std::uint32_t seed, bool atomic)
      : random_(seed),
        atomic_(atomic),
        core_({.channels = channels, .queue = 40, .batch = 8, .writes_together = 2}, seed) {}

  void run(int steps) {
    for (int i = 0; i < steps && !::testing::Test::HasFailure(); ++i) step();
    if (pick(4) == 0) {
      core_.shut_down();
      settle();
      submit();  // refused
    }
    drain();
    for (const auto& item : all_) {
      const bool must_answer = !item->was_refused && !item->has_left;
      ASSERT_EQ(item->answers, must_answer ? 1U : 0U) << "entry " << item->id;
      ASSERT_EQ(item->releases, item->was_refused ? 0U : 1U) << "entry " << item->id;
      if (item->what->opts.repeat == repeat::once) ASSERT_LE(item->commits, 1U) << "entry " << item->id;
    }
    ASSERT_TRUE(core_.is_idle());
  }

  [[nodiscard]] std::size_t reads_together() const { return reads_together_; }
  [[nodiscard]] std::size_t writes_together() const { return writes_together_; }

 private:
  struct sent_batch {
    std::vector<tracked*> items;
    std::vector<std::size_t> runs;  ///< how many of the items each statement on the wire is for
    std::size_t statements = 0;     ///< answered
    std::size_t answered = 0;       ///< items of those
    bool has_failed = false;
    std::vector<tracked*> done;  ///< executed, not committed yet
  };

  std::size_t pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>{0, below - 1}(random_);
  }

  void step() {
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
        submit();
        break;
      case 3:
      case 4:
        send();
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        answer(pick(channels));
        break;
      case 9:
        if (!all_.empty()) leave(*all_[pick(all_.size())]);
        break;
      case 10:
        now_ += std::chrono::milliseconds{pick(20)};
        core_.tick(now_);
        break;
      default:
        flip(pick(channels));
        break;
    }
    settle();
  }

  void submit() {
    static constexpr std::array<const statement*, 11> kinds{
        &read_one,    &read_key, &read_key,     &touch_session,    &touch_account,   &charge_once,
        &charge_once, &sweep,    &move_session, &charge_cell_once, &charge_cell_once};
    for (std::size_t n = pick(6); n > 0; --n) {
      auto item = std::make_unique<tracked>();
      item->id = all_.size() + 1;
      item->what = kinds[pick(kinds.size())];
      if (item->what->parameter_count != 0) item->values.add_text(std::to_string(pick(10)));
      item->deadline = now_ + std::chrono::milliseconds{pick(300) + 1};
      item->was_refused = !core_.submit(*item);
      ASSERT_LE(core_.queued(), 40U + channels * 2 * 8);
      all_.push_back(std::move(item));
    }
  }

  void send() {
    const auto channel = core_.ready_channel();
    if (!channel) return;
    const auto entries = core_.take_batch(*channel, now_);
    if (entries.empty()) return;
    ASSERT_LE(entries.size(), 8U);
    ASSERT_LE(core_.batches_in_flight(*channel), 2U);
    sent_batch& batch = wire_[*channel].emplace_back();
    for (entry* item : entries) {
      item->was_sent_by_name = pick(2) == 0;
      item->sent_epoch = item->traits->epoch;
      ASSERT_GT(item->deadline, now_);
      ASSERT_FALSE(item->is_abandoned);
      const bool may_have_happened = static_cast<tracked*>(item)->is_doubtful;
      ASSERT_FALSE(may_have_happened && item->what->opts.repeat == repeat::once) << "sent twice";
      if (item->what == &sweep) ASSERT_EQ(entries.size(), 1U);
      batch.items.push_back(static_cast<tracked*>(item));
    }
    for (std::size_t i = 0; i < entries.size(); i += batch.runs.back()) {
      batch.runs.push_back(entries[i]->run);
      check_run({entries.data() + i, entries[i]->run});
    }
  }

  // One statement, and of writes one of each row, in the order of the rows.
  void check_run(std::span<entry* const> run) {
    if (run.size() == 1) return;
    ASSERT_TRUE(atomic_ && run.front()->what->opts.together != nullptr);
    const bool is_write = run.front()->what->opts.rank != lock_rank::none;
    ++(is_write ? writes_together_ : reads_together_);
    for (std::size_t n = 1; n < run.size(); ++n) {
      ASSERT_EQ(run[n]->what, run.front()->what);
      if (is_write) ASSERT_LT(run[n - 1]->values.value(0), run[n]->values.value(0));
    }
  }

  // The server's next message on a channel.
  void answer(std::size_t channel) {
    if (wire_[channel].empty()) return;
    sent_batch& batch = wire_[channel].front();
    if (batch.answered < batch.items.size()) {
      answer_statement(channel, batch);
    } else {
      answer_sync(channel, batch);
    }
  }

  void answer_statement(std::size_t channel, sent_batch& batch) {
    static constexpr std::array<const char*, 10> states{"42501", "23505", "22P02", "55P03", "55P03",
                                                        "40P01", "0A000", "26000", "25006", "08006"};
    const std::size_t first = batch.answered;
    tracked* const item = batch.items[first];
    batch.answered += batch.runs[batch.statements++];
    ASSERT_EQ(core_.answering(channel), item);
    ASSERT_EQ(core_.answering_run(channel).size(), batch.answered - first);
    if (batch.has_failed) {
      ASSERT_TRUE(core_.aborted(channel));
    } else if (pick(12) == 0) {
      batch.has_failed = true;
      const std::string state = states[pick(states.size())];
      if (state == "08006" && !atomic_ && pick(2) == 0) batch.done.push_back(item);  // its worker had done it
      ASSERT_TRUE(core_.rejected(channel, failure_with(state)));
    } else {
      for (std::size_t i = first; i < batch.answered; ++i) {
        batch.items[i]->result = batch.items[i]->id;
        batch.done.push_back(batch.items[i]);
      }
      ASSERT_TRUE(core_.executed(channel));
    }
  }

  void answer_sync(std::size_t channel, sent_batch& batch) {
    if (!batch.has_failed && pick(10) == 0) {
      batch.has_failed = true;
      ASSERT_TRUE(core_.rejected(channel, failure_with(pick(2) == 0 ? "23503" : "40001")));
      return;
    }
    if (!batch.has_failed || !atomic_) commit(batch);
    wire_[channel].pop_front();
    ASSERT_TRUE(core_.synced(channel, now_));
    if (core_.is_drained(channel)) lose(channel);
  }

  void commit(sent_batch& batch) {
    for (tracked* item : batch.done) ++item->commits;
    batch.done.clear();
  }

  void leave(tracked& item) {
    if (item.was_refused || item.answers != 0 || item.has_left) return;
    item.has_left = true;
    core_.abandon(item);
  }

  void lose(std::size_t channel) {
    // What the server had in hand: a batch whose commit we never hear of may have been executed.
    for (sent_batch& batch : wire_[channel]) {
      if (batch.has_failed && atomic_) continue;
      doubt(batch);
      if (!batch.has_failed && pick(2) == 0) {
        batch.done.assign(batch.items.begin(), batch.items.end());
      } else if (!batch.has_failed) {
        break;  // it died before this one
      }
      commit(batch);
    }
    wire_[channel].clear();
    core_.lose(channel, now_);
  }

  // Whoever may have been executed. After a failure, that is what stands before it (Citus).
  static void doubt(sent_batch& batch) {
    for (tracked* item : batch.has_failed ? batch.done : batch.items) item->is_doubtful = true;
  }

  void flip(std::size_t channel) {
    if (core_.is_open(channel)) {
      if (pick(6) == 0) {
        core_.pause(channel);
        ASSERT_NE(core_.ready_channel(), std::optional{channel});
        if (core_.is_drained(channel)) lose(channel);
      } else if (pick(3) == 0) {
        lose(channel);
      }
    } else {
      core_.open(channel, {.batches_in_flight = 1 + pick(2), .atomic_batches = atomic_});
    }
  }

  void settle() {
    pipeline_core::effects effects;
    core_.collect(effects);
    for (entry* item : effects.finished) check_answer(static_cast<tracked&>(*item));
    for (entry* item : effects.released) {
      auto& one = static_cast<tracked&>(*item);
      ASSERT_EQ(++one.releases, 1U);
      ASSERT_TRUE(one.answers == 1 || one.has_left);
    }
  }

  void check_answer(tracked& item) {
    ASSERT_EQ(++item.answers, 1U);
    ASSERT_FALSE(item.has_left);
    if (!item.has_failed) {
      ASSERT_GE(item.commits, 1U) << "acknowledged before it was committed";
      ASSERT_EQ(item.result, item.id) << "somebody else's rows";
      return;
    }
    if (item.failure.outcome == outcome::not_sent) ASSERT_EQ(item.commits, 0U);
    // A rejected statement was rolled back, each time it was sent.
    if (item.failure.outcome == outcome::executed) ASSERT_EQ(item.commits, 0U);
  }

  // Everything comes to an end once the server behaves.
  void drain() {
    for (int round = 0; round < 2000 && !core_.is_idle(); ++round) {
      for (std::size_t c = 0; c < channels; ++c) {
        if (!core_.is_open(c)) core_.open(c, {.batches_in_flight = 1, .atomic_batches = atomic_});
        send();
        answer(c);
      }
      now_ += std::chrono::milliseconds{1};
      core_.tick(now_);
      settle();
    }
  }

  std::size_t reads_together_ = 0;
  std::size_t writes_together_ = 0;
  std::mt19937 random_;
  bool atomic_;
  pipeline_core core_;
  time_point now_{std::chrono::hours{1}};
  std::vector<std::unique_ptr<tracked>> all_;
  std::array<std::deque<sent_batch>, channels> wire_;
};

std::uint32_t wanted_schedules() {
  const char* text = std::getenv("PAM_DB_MODEL_SCHEDULES");
  return text == nullptr ? 1000 : static_cast<std::uint32_t>(std::strtoul(text, nullptr, 10));
}

TEST(pipeline_core_model, random_schedules_keep_every_promise) {
  std::size_t reads_together = 0;
  std::size_t writes_together = 0;
  for (std::uint32_t seed = 1; seed <= wanted_schedules() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    model one{seed, true};
    one.run(250);
    reads_together += one.reads_together();
    writes_together += one.writes_together();
  }
  EXPECT_GT(reads_together, 0U);
  EXPECT_GT(writes_together, 0U);
}

TEST(pipeline_core_model, random_schedules_keep_every_promise_without_atomic_batches) {
  for (std::uint32_t seed = 1; seed <= wanted_schedules() && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    model{seed, false}.run(250);
  }
}

}  // namespace
}  // namespace pam::db::detail
