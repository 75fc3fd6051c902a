#include "server/crypto/hash_pool.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "async/call_timeline.hpp"
#include "server/crypto/detail/caller.hpp"
#include "server/crypto/detail/hash_memory.hpp"
#include "server/crypto/detail/job_pool.hpp"
#include "server/crypto/password_hash.hpp"
#include "server/crypto/random.hpp"

namespace pam::crypto {

namespace {

namespace asio = boost::asio;

/// What every job needs to know, shared so that a job may outlive the pool object.
struct pool_facts {
  hash_cost cost;
  std::string dummy;                     ///< hash of a random password at the pool's own cost
  std::chrono::microseconds dummy_took;  ///< to make, before anybody could be in its way
};

error refusal(errc why, std::chrono::seconds come_back) {
  switch (why) {
    case errc::queue_full:
      return {why, "the hash queue is full", come_back};
    case errc::deadline:
      return {why, "the hash did not start in time", come_back};
    case errc::closed:
      return {why, "the hash pool is closing", come_back};
    default:
      return {why, "hashing failed", come_back};
  }
}

/// When a job began and ended, for its caller; 0 when it never ran.
struct job_times {
  std::chrono::steady_clock::time_point began;
  std::chrono::steady_clock::time_point ended;
};

template <class Result>
class pool_job : public detail::job {
 public:
  pool_job(secret password, std::shared_ptr<const pool_facts> facts,
           std::shared_ptr<detail::caller<Result>> caller, std::shared_ptr<job_times> times)
      : password_(std::move(password)),
        facts_(std::move(facts)),
        caller_(std::move(caller)),
        times_(std::move(times)) {}

  void run() final {
    times_->began = std::chrono::steady_clock::now();
    outcome_.emplace(compute(password_, *facts_));
    times_->ended = std::chrono::steady_clock::now();
    password_ = secret{};  // it has done its part; the job itself may live a little longer
  }
  void deliver() final { caller_->complete(std::move(*outcome_)); }
  void refuse(errc why, std::chrono::seconds come_back) final {
    password_ = secret{};
    caller_->complete(refusal(why, come_back));
  }
  /// The awaiting coroutine was cancelled.
  void abandon() { caller_->complete(error{errc::closed, "the caller was cancelled"}); }

 private:
  virtual Result compute(const secret& password, const pool_facts& facts) = 0;

  secret password_;
  std::optional<Result> outcome_;
  std::shared_ptr<const pool_facts> facts_;
  std::shared_ptr<detail::caller<Result>> caller_;
  std::shared_ptr<job_times> times_;  ///< read by the caller once it is told
};

class hash_job final : public pool_job<result<std::string>> {
 public:
  static constexpr std::string_view name = "hash_password";
  using pool_job::pool_job;

 private:
  result<std::string> compute(const secret& password, const pool_facts& facts) override {
    return hash_password(password, facts.cost);
  }
};

class verify_job final : public pool_job<result<verification>> {
 public:
  static constexpr std::string_view name = "verify_password";
  verify_job(secret password, std::shared_ptr<const pool_facts> facts,
             std::shared_ptr<detail::caller<result<verification>>> caller, std::shared_ptr<job_times> times,
             std::string stored)
      : pool_job(std::move(password), std::move(facts), std::move(caller), std::move(times)),
        stored_(std::move(stored)) {}

 private:
  result<verification> compute(const secret& password, const pool_facts& facts) override {
    if (stored_.empty()) return spend_dummy(password, facts);
    auto found = verify_password(password, stored_, facts.cost);
    // Refusing an unusable hash at once would tell by its time that the account exists.
    if (found.has_error() && found.error().code == errc::bad_hash) {
      const auto spent = spend_dummy(password, facts);
      if (spent.has_error()) return spent;
    }
    return found;
  }

  static result<verification> spend_dummy(const secret& password, const pool_facts& facts) {
    auto found = verify_password(password, facts.dummy, facts.cost);
    if (found.has_error()) return found;
    return verification{};
  }

  std::string stored_;
};

/// Makes the job for the awaiting coroutine and gives it to the pool. A plain function: the initiation
/// and its arguments move into the awaitable's own frame.
template <class Job, class Result, class... Args>
asio::awaitable<Result> submit(std::weak_ptr<detail::job_pool> pool, std::shared_ptr<const pool_facts> facts,
                               std::shared_ptr<job_times> times, secret password, async::deadline deadline,
                               turn whose, Args... args) {
  auto initiate = [](auto handler, std::weak_ptr<detail::job_pool> to, std::shared_ptr<const pool_facts> with,
                     std::shared_ptr<job_times> clock, secret what, async::deadline until, turn order,
                     Args... rest) {
    auto slot = asio::get_associated_cancellation_slot(handler);
    const auto caller = detail::make_caller<Result>(std::move(handler));
    const auto work =
        std::make_shared<Job>(std::move(what), std::move(with), caller, std::move(clock), std::move(rest)...);
    const auto jobs = to.lock();
    if (!jobs) return work->refuse(errc::closed, std::chrono::seconds{0});
    if (slot.is_connected()) {
      slot.assign([to, weak_work = std::weak_ptr<Job>(work)](asio::cancellation_type) {
        const auto pending = weak_work.lock();
        if (!pending) return;
        if (const auto still = to.lock()) still->withdraw(*pending);
        pending->abandon();
      });
    }
    jobs->submit(work, until, order);
  };
  return asio::async_initiate<const asio::use_awaitable_t<>, void(Result)>(
      std::move(initiate), asio::use_awaitable, std::move(pool), std::move(facts), std::move(times),
      std::move(password), deadline, whose, std::move(args)...);
}

/// Adds what a job took, or waited in vain, to the costs of its caller.
void count_costs(async::call_costs* costs, std::string_view name, std::chrono::steady_clock::time_point asked,
                 const job_times& times, std::optional<errc> failure) {
  if (costs == nullptr) return;
  const bool has_run = times.ended != std::chrono::steady_clock::time_point{};
  const auto ended = has_run ? times.ended : std::chrono::steady_clock::now();
  const auto began = has_run ? times.began : ended;
  costs->hash_queue += began - asked;
  if (has_run) {
    costs->hash += ended - began;
    ++costs->hashes;
  }
  if (costs->timeline == nullptr) return;
  async::call_step step;
  step.what = async::call_step::kind::hash;
  step.name = name;
  step.asked = asked;
  step.began = began;
  step.ended = ended;
  if (failure) step.failure = to_string(*failure);
  costs->timeline->add(step);
}

/// `submit`, and what it took added to the caller's costs.
template <class Job, class Result, class... Args>
asio::awaitable<Result> counted(std::weak_ptr<detail::job_pool> pool, std::shared_ptr<const pool_facts> facts,
                                secret password, async::deadline deadline, turn whose, Args... args) {
  const auto asked = std::chrono::steady_clock::now();
  const auto times = std::make_shared<job_times>();
  auto done = co_await submit<Job, Result>(std::move(pool), std::move(facts), times, std::move(password),
                                           deadline, whose, std::move(args)...);
  std::optional<errc> failure;
  if (done.has_error()) failure = done.error().code;
  count_costs(deadline.costs(), Job::name, asked, *times, failure);
  co_return done;
}

std::shared_ptr<const pool_facts> facts_for(const hash_cost& cost) {
  std::array<std::byte, 32> random = {};
  fill_random(random);
  const auto began = std::chrono::steady_clock::now();
  auto dummy = hash_password(secret{std::span<const std::byte>{random}}, cost);
  const auto took = std::chrono::steady_clock::now() - began;
  detail::hash_memory::drop();  // this thread hashes no more
  if (dummy.has_error()) throw std::runtime_error("hash pool: cannot make one hash: " + dummy.error().detail);
  return std::make_shared<const pool_facts>(
      pool_facts{cost, std::move(*dummy), std::chrono::duration_cast<std::chrono::microseconds>(took)});
}

}  // namespace

struct hash_pool::impl {
  explicit impl(const hash_pool_config& settings)
      : facts(facts_for(settings.cost)),
        jobs(std::make_shared<detail::job_pool>(detail::job_pool_config{.threads = settings.threads,
                                                                        .queue_limit = settings.queue_limit,
                                                                        .max_wait = settings.max_wait,
                                                                        .nice = settings.nice,
                                                                        .on_idle = detail::hash_memory::drop,
                                                                        .expected_run = facts->dummy_took})) {
  }

  std::shared_ptr<const pool_facts> facts;
  std::shared_ptr<detail::job_pool> jobs;
};

hash_pool::hash_pool(hash_pool_config settings) {
  // libsodium's floor (argon2id: 8 KiB, 1 pass); below it every sign-up would fail one by one.
  if (settings.cost.memory_kib < 8 || settings.cost.passes < 1) {
    throw std::invalid_argument("hash pool: at least 8 KiB of memory and 1 pass are needed");
  }
  impl_ = std::make_unique<impl>(settings);
}

hash_pool::~hash_pool() {
  close();
}

asio::awaitable<result<std::string>> hash_pool::hash(secret password, async::deadline deadline) {
  return counted<hash_job, result<std::string>>(impl_->jobs, impl_->facts, std::move(password), deadline,
                                                turn::usual);
}

asio::awaitable<result<verification>> hash_pool::verify(secret password, std::string stored,
                                                        async::deadline deadline, turn whose) {
  return counted<verify_job, result<verification>>(impl_->jobs, impl_->facts, std::move(password), deadline,
                                                   whose, std::move(stored));
}

std::chrono::seconds hash_pool::send_away(turn whose) {
  return impl_->jobs->send_away(whose);
}

void hash_pool::close() {
  impl_->jobs->close();
}

hash_pool_statistics hash_pool::stats() const {
  const auto& now = impl_->jobs->stats();
  return {.hashed = now.finished.load(std::memory_order_relaxed),
          .refused_queue_full = now.refused_queue_full.load(std::memory_order_relaxed),
          .refused_deadline = now.refused_deadline.load(std::memory_order_relaxed),
          .queued = now.queued.load(std::memory_order_relaxed),
          .running = now.running.load(std::memory_order_relaxed),
          .busy_microseconds = now.busy_microseconds.load(std::memory_order_relaxed),
          .waited_microseconds = now.waited_microseconds.load(std::memory_order_relaxed)};
}

}  // namespace pam::crypto
