#include "server/crypto/detail/job_pool.hpp"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

namespace pam::crypto::detail {

namespace {

using clock = std::chrono::steady_clock;

std::uint64_t microseconds_between(clock::time_point from, clock::time_point to) {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}

/// setpriority(2): with Linux's threads the nice value belongs to the thread. A failure leaves the
/// thread at the process's priority, which only makes the pool less polite.
void become_background(int nice) {
  pthread_setname_np(pthread_self(), "pam-hash");
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), nice));
}

}  // namespace

job_pool::job_pool(job_pool_config settings)
    : settings_(settings), crowds_run_us_(static_cast<std::uint64_t>(settings.expected_run.count())) {
  threads_.reserve(settings_.threads + 1);
  try {
    threads_.emplace_back([this] { watch(); });
    for (std::size_t i = 0; i < std::max<std::size_t>(settings_.threads, 1); ++i) {
      threads_.emplace_back([this] {
        become_background(settings_.nice);
        work();
      });
    }
  } catch (...) {
    close();  // a thread that could not start must not leave joinable ones behind
    throw;
  }
}

job_pool::~job_pool() {
  close();
}

void job_pool::submit(std::shared_ptr<job> work, async::deadline deadline, turn whose) {
  const auto now = clock::now();
  work->submitted_ = now;
  work->expiry_ = std::min(deadline.unmetered(), now + settings_.max_wait);
  work->turn_ = whose;
  errc refusal{};
  std::shared_ptr<job> refused = work;
  {
    const std::scoped_lock lock{mutex_};
    const auto place = place_of(whose);
    if (is_closing_) {
      refusal = errc::closed;
    } else if (work->expiry_ <= now + wait_behind(static_cast<std::size_t>(place - waiting_.begin()))) {
      counters_.refused_deadline.fetch_add(1, std::memory_order_relaxed);
      refusal = errc::deadline;
      work->come_back_ = count_refusal(whose, now);
    } else {
      if (work->expiry_ < next_check_) has_news_.notify_one();
      waiting_.insert(place, std::move(work));
      refused = make_room();
      if (refused) {
        refusal = errc::queue_full;
        refused->come_back_ = count_refusal(refused->turn_, now);
      }
      counters_.queued.store(waiting_.size(), std::memory_order_relaxed);
      has_work_.notify_one();
    }
  }
  if (refused) refused->refuse(refusal, refused->come_back_);
}

std::chrono::seconds job_pool::send_away(turn whose) {
  const std::scoped_lock lock{mutex_};
  return count_refusal(whose, clock::now());
}

/// The lock is held.
std::chrono::seconds job_pool::count_refusal(turn whose, clock::time_point now) {
  const std::chrono::duration<double, std::micro> each(crowds_run_us_.load(std::memory_order_relaxed));
  return outside_.refused(whose, now, each / std::max<std::size_t>(settings_.threads, 1));
}

job_pool::queue::iterator job_pool::place_of(turn whose) {
  if (whose == turn::usual) return waiting_.end();
  return std::ranges::find_if(waiting_, [](const auto& each) { return each->turn_ == turn::usual; });
}

std::chrono::microseconds job_pool::wait_behind(std::size_t jobs) const {
  const std::uint64_t each = usual_run_us_.load(std::memory_order_relaxed);
  // A third more than the average says: whoever is let in and then expires has waited in vain.
  return std::chrono::microseconds{each * jobs * 4 / (3 * std::max<std::size_t>(settings_.threads, 1))};
}

/// The job that has to go when there are too many: the last of the queue.
std::shared_ptr<job> job_pool::make_room() {
  if (waiting_.size() <= settings_.queue_limit) return nullptr;
  counters_.refused_queue_full.fetch_add(1, std::memory_order_relaxed);
  auto last = std::move(waiting_.back());
  waiting_.pop_back();
  return last;
}

bool job_pool::withdraw(const job& work) {
  const std::scoped_lock lock{mutex_};
  const auto removed = std::erase_if(waiting_, [&work](const auto& each) { return each.get() == &work; });
  counters_.queued.store(waiting_.size(), std::memory_order_relaxed);
  return removed != 0;
}

void job_pool::close() {
  queue refused;
  {
    const std::scoped_lock lock{mutex_};
    is_closing_ = true;
    refused.swap(waiting_);
    counters_.queued.store(0, std::memory_order_relaxed);
    has_work_.notify_all();
    has_news_.notify_all();
  }
  refuse_all(refused, errc::closed);
  const std::scoped_lock lock{joining_};
  for (std::thread& each : threads_) {
    if (each.joinable()) each.join();
  }
}

void job_pool::work() {
  std::unique_lock lock{mutex_};
  while (true) {
    wait_for_work(lock);
    if (is_closing_) return;
    const auto now = clock::now();
    const auto expired = take_expired(now);
    std::shared_ptr<job> next;
    if (!waiting_.empty()) {
      next = std::move(waiting_.front());
      waiting_.pop_front();
      counters_.queued.store(waiting_.size(), std::memory_order_relaxed);
      counters_.running.fetch_add(1, std::memory_order_relaxed);
      counters_.waited_microseconds.fetch_add(microseconds_between(next->submitted_, now),
                                              std::memory_order_relaxed);
    }
    lock.unlock();
    refuse_all(expired, errc::deadline);
    if (next) run_one(*next);
    next.reset();
    lock.lock();
  }
}

void job_pool::wait_for_work(std::unique_lock<std::mutex>& lock) {
  const auto has_news = [this] { return is_closing_ || !waiting_.empty(); };
  if (settings_.on_idle != nullptr && !has_work_.wait_for(lock, settings_.idle_after, has_news)) {
    lock.unlock();
    settings_.on_idle();
    lock.lock();
  }
  has_work_.wait(lock, has_news);
}

void job_pool::run_one(job& next) {
  const auto began = clock::now();
  bool has_failed = false;
  try {
    next.run();
  } catch (...) {
    has_failed = true;  // std::bad_alloc is what can happen; the caller must hear of it, the thread live on
  }
  const std::uint64_t took = microseconds_between(began, clock::now());
  counters_.busy_microseconds.fetch_add(took, std::memory_order_relaxed);
  // Threads may overwrite each other here: it is an average.
  const std::uint64_t usual = usual_run_us_.load(std::memory_order_relaxed);
  usual_run_us_.store(usual == 0 ? took : (7 * usual + took) / 8, std::memory_order_relaxed);
  crowds_run_us_.store(retry_estimate::averaged(crowds_run_us_.load(std::memory_order_relaxed), took),
                       std::memory_order_relaxed);
  counters_.finished.fetch_add(1, std::memory_order_relaxed);
  counters_.running.fetch_sub(1, std::memory_order_relaxed);
  if (has_failed) {
    next.refuse(errc::failure, std::chrono::seconds{0});
  } else {
    next.deliver();
  }
}

void job_pool::watch() {
  std::unique_lock lock{mutex_};
  while (!is_closing_) {
    next_check_ = earliest_expiry();
    // wait_until(max()) overflows in some libraries; "nothing waits" is a plain wait.
    if (next_check_ == clock::time_point::max()) {
      has_news_.wait(lock);
    } else {
      has_news_.wait_until(lock, next_check_);
    }
    const auto expired = take_expired(clock::now());
    lock.unlock();
    refuse_all(expired, errc::deadline);
    lock.lock();
  }
}

job_pool::queue job_pool::take_expired(clock::time_point now) {
  queue expired;
  queue kept;
  for (auto& each : waiting_) (each->expiry_ > now ? kept : expired).push_back(std::move(each));
  waiting_.swap(kept);
  for (const auto& each : expired) each->come_back_ = count_refusal(each->turn_, now);
  counters_.refused_deadline.fetch_add(expired.size(), std::memory_order_relaxed);
  counters_.queued.store(waiting_.size(), std::memory_order_relaxed);
  return expired;
}

clock::time_point job_pool::earliest_expiry() const {
  auto earliest = clock::time_point::max();
  for (const auto& each : waiting_) earliest = std::min(earliest, each->expiry_);
  return earliest;
}

void job_pool::refuse_all(const queue& jobs, errc why) {
  for (const auto& each : jobs) each->refuse(why, each->come_back_);
}

}  // namespace pam::crypto::detail
