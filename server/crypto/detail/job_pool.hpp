#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "async/deadline.hpp"
#include "server/crypto/detail/retry_estimate.hpp"
#include "server/crypto/error.hpp"
#include "server/crypto/turn.hpp"

namespace pam::crypto::detail {

/// One piece of blocking work. Either run() and then deliver() are called, or refuse(), or none of them
/// when the job is withdrawn first.
class job {
 public:
  virtual ~job() = default;
  /// Does the work, on a pool thread, and keeps its result.
  virtual void run() = 0;
  /// Hands the result over; the counters know of the job by then.
  virtual void deliver() = 0;
  /// Says why it will not run: queue_full, deadline, closed; failure when run() threw.
  /// @param come_back  after which its client may try again; 0 unless the pool had no thread for it
  virtual void refuse(errc why, std::chrono::seconds come_back) = 0;

 private:
  friend class job_pool;
  std::chrono::steady_clock::time_point submitted_;
  std::chrono::steady_clock::time_point expiry_;
  std::chrono::seconds come_back_{0};
  turn turn_ = turn::usual;
};

struct job_pool_config {
  std::size_t threads = 1;
  std::size_t queue_limit = 256;
  std::chrono::milliseconds max_wait{};  ///< of a job for its start; the caller's to say
  int nice = 0;
  /// Called on a thread of the pool that has had nothing to do for `idle_after`, once until its next job.
  void (*on_idle)() = nullptr;
  std::chrono::milliseconds idle_after{10'000};
  /// What a job takes on a quiet machine, for those who are refused before enough have run; 0: not known.
  std::chrono::microseconds expected_run{0};
};

/// Threads of low priority behind a bounded first-come queue whose entries expire on time, also while
/// every thread is busy: a thread of their own watches the clock. Thread-safe.
class job_pool {
 public:
  explicit job_pool(job_pool_config settings);
  ~job_pool();
  job_pool(const job_pool&) = delete;
  job_pool& operator=(const job_pool&) = delete;

  /// Queues `work` until min(deadline, now + max_wait). A refusal (full, expired, closed) is told to the
  /// job before this returns, on this thread; so is `deadline` when the jobs before it will take longer
  /// than that. In a full queue a job with the first turn takes the place of the newest usual one, which
  /// is refused.
  void submit(std::shared_ptr<job> work, async::deadline deadline, turn whose = turn::usual);

  /// Counts one who was refused before he came here among those who come back.
  /// @return after which he shall: what a refused job is told
  std::chrono::seconds send_away(turn whose);

  /// Takes a job out of the queue; nothing happens when it is not there. A running job goes on.
  /// @return true when it was there: neither run() nor refuse() will be called
  bool withdraw(const job& work);

  /// Refuses the queue with `closed`, waits for what runs, joins the threads. Idempotent; from any thread
  /// but the pool's own.
  void close();

  struct counters {
    std::atomic<std::uint64_t> finished{0};
    std::atomic<std::uint64_t> refused_queue_full{0};
    std::atomic<std::uint64_t> refused_deadline{0};
    std::atomic<std::uint64_t> queued{0};
    std::atomic<std::uint64_t> running{0};
    std::atomic<std::uint64_t> busy_microseconds{0};
    std::atomic<std::uint64_t> waited_microseconds{0};
  };
  [[nodiscard]] const counters& stats() const { return counters_; }

 private:
  using queue = std::deque<std::shared_ptr<job>>;

  void work();
  void wait_for_work(std::unique_lock<std::mutex>& lock);
  void watch();
  void run_one(job& next);
  void refuse_all(const queue& jobs, errc why);
  std::chrono::seconds count_refusal(turn whose, std::chrono::steady_clock::time_point now);
  [[nodiscard]] queue take_expired(std::chrono::steady_clock::time_point now);
  [[nodiscard]] std::chrono::steady_clock::time_point earliest_expiry() const;
  [[nodiscard]] queue::iterator place_of(turn whose);
  [[nodiscard]] std::chrono::microseconds wait_behind(std::size_t jobs) const;
  std::shared_ptr<job> make_room();

  const job_pool_config settings_;
  std::atomic<std::uint64_t> usual_run_us_{0};   ///< moving average of what a job takes
  std::atomic<std::uint64_t> crowds_run_us_{0};  ///< likewise, for who comes back: `retry_estimate::averaged`
  counters counters_;
  std::mutex mutex_;
  std::condition_variable has_work_;
  std::condition_variable has_news_;  ///< for the watcher: an earlier expiry, or the end
  queue waiting_;
  retry_estimate outside_;
  std::chrono::steady_clock::time_point next_check_ = std::chrono::steady_clock::time_point::max();
  bool is_closing_ = false;
  std::mutex joining_;
  std::vector<std::thread> threads_;
};

}  // namespace pam::crypto::detail
