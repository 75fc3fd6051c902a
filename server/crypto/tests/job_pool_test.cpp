#include "server/crypto/detail/job_pool.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <future>
#include <optional>
#include <thread>
#include <vector>

namespace pam::crypto::detail {
namespace {

using namespace std::chrono_literals;

/// How a job ended: its turn, or why not.
struct outcome {
  bool has_run = false;
  errc refusal{};
  std::chrono::seconds come_back{0};
};

/// Runs until it is let go, and tells what became of it.
class held_job : public job {
 public:
  explicit held_job(bool is_held = true) : is_held_(is_held) {}

  void run() override {
    started_.set_value();
    if (is_held_) released_.get_future().wait();
    if (should_throw) throw std::bad_alloc{};
  }
  void deliver() override { ended_.set_value({.has_run = true}); }
  void refuse(errc why, std::chrono::seconds come_back) override {
    ended_.set_value({.refusal = why, .come_back = come_back});
  }

  void await_start() { started_.get_future().wait(); }
  void release() { released_.set_value(); }
  outcome await_end() { return ended_.get_future().get(); }

  bool should_throw = false;

 private:
  bool is_held_;
  std::promise<void> started_;
  std::promise<void> released_;
  std::promise<outcome> ended_;
};

auto held() {
  return std::make_shared<held_job>(true);
}
auto quick() {
  return std::make_shared<held_job>(false);
}
async::deadline late() {
  return async::within(1h);
}

TEST(job_pool, runs_what_it_is_given) {
  job_pool pool({.threads = 2, .max_wait = 1h});
  const auto work = quick();

  pool.submit(work, late());

  EXPECT_TRUE(work->await_end().has_run);
}

TEST(job_pool, a_full_queue_refuses_at_once) {
  job_pool pool({.threads = 1, .queue_limit = 2, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto first = quick();
  const auto second = quick();
  const auto third = quick();
  pool.submit(first, late());
  pool.submit(second, late());

  pool.submit(third, late());

  EXPECT_EQ(third->await_end().refusal, errc::queue_full);
  EXPECT_EQ(pool.stats().refused_queue_full, 1U);
  EXPECT_EQ(pool.stats().queued, 2U);
  EXPECT_EQ(pool.stats().running, 1U);
  running->release();
  EXPECT_TRUE(first->await_end().has_run);
  EXPECT_TRUE(second->await_end().has_run);
}

TEST(job_pool, the_first_turn_goes_before_usual_ones_in_order) {
  job_pool pool({.threads = 1, .queue_limit = 9, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto usual = held();
  const auto first = held();
  const auto second = held();
  pool.submit(usual, late());
  pool.submit(first, late(), turn::first);
  pool.submit(second, late(), turn::first);

  running->release();

  // Each holds the only thread until it is let go: whoever starts next is the next of the queue.
  first->await_start();
  EXPECT_EQ(pool.stats().queued, 2U);
  first->release();
  second->await_start();
  EXPECT_EQ(pool.stats().queued, 1U);
  second->release();
  usual->await_start();
  usual->release();
  EXPECT_TRUE(usual->await_end().has_run);
}

TEST(job_pool, in_a_full_queue_the_first_turn_takes_the_place_of_the_newest_usual_job) {
  job_pool pool({.threads = 1, .queue_limit = 2, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto older = quick();
  const auto newest = quick();
  const auto known = quick();
  const auto also_known = quick();
  const auto one_too_many = quick();
  pool.submit(older, late());
  pool.submit(newest, late());

  pool.submit(known, late(), turn::first);
  EXPECT_EQ(newest->await_end().refusal, errc::queue_full);
  pool.submit(also_known, late(), turn::first);
  EXPECT_EQ(older->await_end().refusal, errc::queue_full);
  pool.submit(one_too_many, late(), turn::first);
  EXPECT_EQ(one_too_many->await_end().refusal, errc::queue_full);

  EXPECT_EQ(pool.stats().queued, 2U);
  running->release();
  EXPECT_TRUE(known->await_end().has_run);
  EXPECT_TRUE(also_known->await_end().has_run);
}

/// One job of `run` at least: what the pool takes for the usual time from then on.
void measure(job_pool& pool, std::chrono::milliseconds run) {
  const auto measured = held();
  pool.submit(measured, late());
  measured->await_start();
  const auto began = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - began < run) std::this_thread::yield();
  measured->release();
  ASSERT_TRUE(measured->await_end().has_run);
}

TEST(job_pool, the_more_are_refused_the_later_they_are_told_to_come_back) {
  constexpr std::size_t crowd = 300;
  job_pool pool({.threads = 1, .queue_limit = 1, .max_wait = 1h});
  measure(pool, 100ms);  // 300 jobs of 100 ms, 3.75 clients to each: 8 s
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto waiting = quick();
  pool.submit(waiting, late());
  std::chrono::seconds first{0};
  std::chrono::seconds last{0};
  for (std::size_t i = 0; i < crowd; ++i) {
    const auto refused = quick();
    pool.submit(refused, late());
    last = refused->await_end().come_back;
    if (i == 0) first = last;
  }

  EXPECT_EQ(first, 1s);
  EXPECT_GE(last, 8s);
  EXPECT_GE(pool.send_away(turn::usual), last);
  EXPECT_EQ(pool.send_away(turn::first), 1s);
  running->release();
  EXPECT_TRUE(waiting->await_end().has_run);
}

TEST(job_pool, whoever_is_refused_for_want_of_a_thread_is_told_when_to_come_back) {
  job_pool pool({.threads = 1, .queue_limit = 1, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto displaced = quick();
  const auto known = quick();
  const auto hopeless = quick();
  pool.submit(displaced, late());
  pool.submit(known, async::within(20ms), turn::first);
  pool.submit(hopeless, async::within(-1ms));

  EXPECT_EQ(displaced->await_end().come_back, 1s);
  EXPECT_EQ(known->await_end().come_back, 1s);  // its time ran out in the queue
  EXPECT_EQ(hopeless->await_end().come_back, 1s);
  running->release();
  EXPECT_TRUE(running->await_end().has_run);
  pool.close();
  const auto late_comer = quick();
  pool.submit(late_comer, late());
  EXPECT_EQ(late_comer->await_end().come_back, 0s);
}

TEST(job_pool, a_wait_that_can_be_foreseen_is_refused_at_once) {
  constexpr auto run = 20ms;
  constexpr std::size_t before = 200;  // 4 s of work
  job_pool pool({.threads = 1, .queue_limit = before + 9, .max_wait = 1h});
  measure(pool, run);
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  std::vector<std::shared_ptr<held_job>> waiting;
  for (std::size_t i = 0; i < before; ++i) pool.submit(waiting.emplace_back(quick()), late());

  const auto hopeless = quick();
  const auto patient = quick();
  pool.submit(hopeless, async::within(2s));
  EXPECT_EQ(pool.stats().refused_deadline, 1U);  // long before its deadline
  pool.submit(patient, late());

  EXPECT_EQ(hopeless->await_end().refusal, errc::deadline);
  EXPECT_EQ(pool.stats().queued, before + 1);
  running->release();
  EXPECT_TRUE(patient->await_end().has_run);
}

TEST(job_pool, a_waiting_job_hears_of_its_deadline_while_every_thread_is_busy) {
  job_pool pool({.threads = 1, .queue_limit = 9, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto waiting = quick();
  pool.submit(waiting, async::within(20ms));

  // Nobody lets the running job go before this answer: only the clock can give it.
  EXPECT_EQ(waiting->await_end().refusal, errc::deadline);
  EXPECT_EQ(pool.stats().refused_deadline, 1U);
  EXPECT_EQ(pool.stats().queued, 0U);
  running->release();
  EXPECT_TRUE(running->await_end().has_run);
}

TEST(job_pool, max_wait_ends_a_wait_before_a_later_deadline) {
  job_pool pool({.threads = 1, .queue_limit = 9, .max_wait = 20ms});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto waiting = quick();
  pool.submit(waiting, late());

  EXPECT_EQ(waiting->await_end().refusal, errc::deadline);
  running->release();
}

TEST(job_pool, an_earlier_deadline_behind_a_later_one_is_kept) {
  job_pool pool({.threads = 1, .queue_limit = 9, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto patient = quick();
  const auto hasty = quick();
  pool.submit(patient, late());
  pool.submit(hasty, async::within(20ms));

  EXPECT_EQ(hasty->await_end().refusal, errc::deadline);
  running->release();
  EXPECT_TRUE(patient->await_end().has_run);
}

TEST(job_pool, a_deadline_in_the_past_is_refused_even_when_a_thread_is_free) {
  job_pool pool({.threads = 1, .max_wait = 1h});
  const auto work = quick();

  pool.submit(work, async::within(-1ms));

  EXPECT_EQ(work->await_end().refusal, errc::deadline);
}

TEST(job_pool, a_withdrawn_job_neither_runs_nor_is_refused) {
  job_pool pool({.threads = 1, .queue_limit = 1, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto gone = quick();
  pool.submit(gone, late());

  EXPECT_TRUE(pool.withdraw(*gone));

  const auto next = quick();  // there is room again
  pool.submit(next, late());
  running->release();
  EXPECT_TRUE(next->await_end().has_run);
  EXPECT_FALSE(pool.withdraw(*gone));
  EXPECT_EQ(gone.use_count(), 1);
}

TEST(job_pool, close_fails_the_queue_and_finishes_what_runs) {
  job_pool pool({.threads = 1, .queue_limit = 9, .max_wait = 1h});
  const auto running = held();
  pool.submit(running, late());
  running->await_start();
  const auto waiting = quick();
  pool.submit(waiting, late());
  std::thread closer{[&pool] { pool.close(); }};

  EXPECT_EQ(waiting->await_end().refusal, errc::closed);
  running->release();
  EXPECT_TRUE(running->await_end().has_run);
  closer.join();

  const auto after = quick();
  pool.submit(after, late());
  EXPECT_EQ(after->await_end().refusal, errc::closed);
  pool.close();
}

TEST(job_pool, a_job_that_throws_is_told_and_the_thread_lives_on) {
  job_pool pool({.threads = 1, .max_wait = 1h});
  const auto bad = quick();
  bad->should_throw = true;
  pool.submit(bad, late());
  EXPECT_EQ(bad->await_end().refusal, errc::failure);

  const auto good = quick();
  pool.submit(good, late());
  EXPECT_TRUE(good->await_end().has_run);
}

TEST(job_pool, its_threads_have_the_asked_priority_and_the_caller_keeps_its_own) {
  class priority_job : public job {
   public:
    void run() override { found = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid())); }
    void deliver() override { told.set_value(found); }
    void refuse(errc, std::chrono::seconds) override {}
    int found = 0;
    std::promise<int> told;
  };
  const int ours = ::getpriority(PRIO_PROCESS, 0);
  const int wanted = std::min(ours + 3, 19);
  job_pool pool({.threads = 1, .max_wait = 1h, .nice = wanted});
  const auto work = std::make_shared<priority_job>();

  pool.submit(work, late());

  EXPECT_EQ(work->told.get_future().get(), wanted);
  EXPECT_EQ(::getpriority(PRIO_PROCESS, 0), ours);
}

TEST(job_pool, every_job_of_many_threads_ends_exactly_once) {
  job_pool pool({.threads = 3, .queue_limit = 50, .max_wait = 1h});
  std::atomic<int> ran{0};
  std::atomic<int> refused{0};
  class counted_job : public job {
   public:
    counted_job(std::atomic<int>& ran, std::atomic<int>& refused) : ran_(ran), refused_(refused) {}
    void run() override {}
    void deliver() override { ++ran_; }
    void refuse(errc, std::chrono::seconds) override { ++refused_; }

   private:
    std::atomic<int>& ran_;
    std::atomic<int>& refused_;
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int n = 0; n < 500; ++n) pool.submit(std::make_shared<counted_job>(ran, refused), late());
    });
  }
  for (auto& each : callers) each.join();
  pool.close();

  EXPECT_EQ(ran + refused, 2'000);
  EXPECT_EQ(pool.stats().finished, static_cast<std::uint64_t>(ran));
}

}  // namespace
}  // namespace pam::crypto::detail
