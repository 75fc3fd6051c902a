#include "server/crypto/hash_pool.hpp"

#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/use_future.hpp>

#include <thread>

#include "server/crypto/password_hash.hpp"

namespace pam::crypto {
namespace {

namespace asio = boost::asio;
using namespace std::chrono_literals;

constexpr hash_cost cheap{.memory_kib = 64, .passes = 1};
/// Takes long enough on any machine to be found running; never awaited in full more than once a test.
constexpr hash_cost dear{.memory_kib = 64 * 1024, .passes = 2};

hash_pool_config config_of(hash_cost cost, std::size_t threads = 1, std::size_t queue_limit = 256) {
  return {.threads = threads, .queue_limit = queue_limit, .max_wait = 1h, .cost = cost};
}
async::deadline late() {
  return async::within(1h);
}
secret password(std::string_view text = "password") {
  return secret{text};
}

/// Runs one awaitable on an io_context of its own.
template <class T>
T run(asio::awaitable<T> work) {
  asio::io_context context{1};
  auto future = asio::co_spawn(context, std::move(work), asio::use_future);
  context.run();
  return future.get();
}

asio::awaitable<void> record(asio::awaitable<result<std::string>> work,
                             std::optional<result<std::string>>& out) {
  out = co_await std::move(work);
}

TEST(hash_pool, a_hashed_password_verifies_and_another_does_not) {
  hash_pool pool{config_of(cheap)};
  const auto stored = run(pool.hash(password(), late()));
  ASSERT_TRUE(stored.has_value());

  EXPECT_TRUE(run(pool.verify(password(), *stored, late()))->matches);
  EXPECT_FALSE(run(pool.verify(password("Password"), *stored, late()))->matches);
}

TEST(hash_pool, what_a_password_took_is_added_to_the_costs_of_its_caller) {
  hash_pool pool{config_of(cheap)};
  async::call_costs costs;
  const async::deadline counted{std::chrono::steady_clock::now() + 1h, &costs};

  const auto stored = run(pool.hash(password(), counted));
  const auto after_one = costs.hash;
  ASSERT_TRUE(run(pool.verify(password(), *stored, counted))->matches);

  EXPECT_GT(after_one.count(), 0);
  EXPECT_GT(costs.hash, after_one);
  EXPECT_GE(costs.hash_queue.count(), 0);
  EXPECT_EQ(costs.hashes, 2U);
  EXPECT_EQ(costs.statements, 0U);
}

TEST(hash_pool, hashes_have_the_configured_cost) {
  hash_pool pool{config_of({.memory_kib = 128, .passes = 3})};
  EXPECT_TRUE(run(pool.hash(password(), late()))->starts_with("$argon2id$v=19$m=128,t=3,p=1$"));
}

TEST(hash_pool, the_default_cost_is_the_one_owasp_asks_for) {
  const hash_cost cost;
  EXPECT_EQ(cost.memory_kib, 19U * 1024);
  EXPECT_EQ(cost.passes, 2U);
}

TEST(hash_pool, a_weaker_stored_hash_asks_for_a_rehash) {
  hash_pool weak{config_of(cheap)};
  hash_pool strong{config_of({.memory_kib = 128, .passes = 2})};
  const auto stored = run(weak.hash(password(), late()));

  EXPECT_FALSE(run(weak.verify(password(), *stored, late()))->needs_rehash);
  const auto found = run(strong.verify(password(), *stored, late()));
  EXPECT_TRUE(found->matches);
  EXPECT_TRUE(found->needs_rehash);
}

TEST(hash_pool, an_unknown_subject_never_matches_and_costs_a_hash) {
  hash_pool pool{config_of(cheap)};

  const auto found = run(pool.verify(password(""), "", late()));

  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->matches);
  EXPECT_FALSE(found->needs_rehash);
  EXPECT_EQ(pool.stats().hashed, 1U);
}

TEST(hash_pool, an_unusable_stored_hash_is_bad_hash) {
  hash_pool pool{config_of(cheap)};
  EXPECT_EQ(run(pool.verify(password(), "$2y$nonsense", late())).error().code, errc::bad_hash);
}

TEST(hash_pool, an_unusable_stored_hash_costs_what_the_dummy_costs) {
  hash_pool pool{config_of(dear)};
  run(pool.verify(password(), "", late()));
  const auto dummy = pool.stats().busy_microseconds;

  run(pool.verify(password(), "$2y$nonsense", late()));

  EXPECT_GT(pool.stats().busy_microseconds - dummy, dummy / 8);
}

TEST(hash_pool, a_full_queue_answers_at_once) {
  hash_pool pool{config_of(dear, 1, 1)};
  asio::io_context context{1};
  std::array<std::optional<result<std::string>>, 4> outcomes;
  for (auto& each : outcomes) {
    asio::co_spawn(context, record(pool.hash(password(), late()), each), asio::detached);
  }
  const auto count = [&outcomes] {
    return std::ranges::count_if(outcomes, [](const auto& o) { return o.has_value(); });
  };
  while (count() < 2) context.run_one();  // the refusals come before any hash is done

  const auto refused = std::ranges::count_if(outcomes, [](const auto& each) {
    return each && each->has_error() && each->error().code == errc::queue_full;
  });
  EXPECT_GE(refused, 2);
  EXPECT_GE(pool.stats().refused_queue_full, 2U);
  for (const auto& each : outcomes) {
    if (each && each->has_error()) EXPECT_GE(each->error().retry_after, 1s);
  }
  context.run();
}

TEST(hash_pool, knows_what_a_hash_takes_before_the_first_one) {
  hash_pool pool{config_of(dear)};

  for (int i = 0; i < 100'000; ++i) pool.send_away(turn::usual);

  EXPECT_GT(pool.send_away(turn::usual), 1s);
  EXPECT_EQ(pool.stats().hashed, 0U);
}

TEST(hash_pool, a_deadline_in_the_past_costs_no_hash) {
  hash_pool pool{config_of(cheap)};

  const auto outcome = run(pool.hash(password(), async::within(-1ms)));

  EXPECT_EQ(outcome.error().code, errc::deadline);
  EXPECT_EQ(pool.stats().hashed, 0U);
  EXPECT_EQ(pool.stats().refused_deadline, 1U);
}

TEST(hash_pool, a_closed_pool_answers_closed) {
  hash_pool pool{config_of(cheap)};
  pool.close();
  pool.close();
  EXPECT_EQ(run(pool.hash(password(), late())).error().code, errc::closed);
  EXPECT_EQ(run(pool.verify(password(), "", late())).error().code, errc::closed);
}

TEST(hash_pool, close_fails_what_waits_and_finishes_what_runs) {
  hash_pool pool{config_of(dear)};
  asio::io_context context{1};
  std::array<std::optional<result<std::string>>, 3> outcomes;
  for (auto& each : outcomes) {
    asio::co_spawn(context, record(pool.hash(password(), late()), each), asio::detached);
  }
  while (pool.stats().running == 0) context.poll();
  pool.close();
  context.run();

  EXPECT_TRUE(outcomes[0]->has_value());
  EXPECT_EQ(outcomes[1]->error().code, errc::closed);
  EXPECT_EQ(outcomes[2]->error().code, errc::closed);
}

TEST(hash_pool, completes_on_the_callers_thread) {
  hash_pool pool{config_of(cheap, 2)};
  const auto ours = std::this_thread::get_id();
  const auto where = run([](hash_pool& from) -> asio::awaitable<std::thread::id> {
    static_cast<void>(co_await from.hash(password(), late()));
    co_return std::this_thread::get_id();
  }(pool));
  EXPECT_EQ(where, ours);
}

TEST(hash_pool, a_waiting_caller_keeps_its_io_context_running) {
  hash_pool pool{config_of(dear)};
  EXPECT_TRUE(run(pool.hash(password(), late())).has_value());
}

TEST(hash_pool, a_cancelled_caller_is_let_go_and_its_place_is_free) {
  hash_pool pool{config_of(dear, 1, 1)};
  asio::io_context context{1};
  std::array<std::optional<result<std::string>>, 2> outcomes;
  bool has_ended = false;
  asio::cancellation_signal signal;
  asio::co_spawn(context, record(pool.hash(password(), late()), outcomes[0]), asio::detached);
  while (pool.stats().running == 0) context.poll();
  asio::co_spawn(context, record(pool.hash(password(), late()), outcomes[1]),
                 asio::bind_cancellation_slot(signal.slot(),
                                              [&has_ended](const std::exception_ptr&) { has_ended = true; }));
  while (pool.stats().queued == 0) context.poll();

  signal.emit(asio::cancellation_type::terminal);
  while (pool.stats().queued != 0) context.run_one();

  while (!has_ended) context.run_one();
  ASSERT_TRUE(outcomes[1].has_value());
  EXPECT_EQ(outcomes[1]->error().code, errc::closed);
  context.run();
  EXPECT_TRUE(outcomes[0]->has_value());
  EXPECT_EQ(pool.stats().hashed, 1U);
}

TEST(hash_pool, a_caller_cancelled_while_its_hash_runs_is_let_go_before_the_hash_ends) {
  hash_pool pool{config_of(dear)};
  asio::io_context context{1};
  std::optional<result<std::string>> outcome;
  asio::cancellation_signal signal;
  asio::co_spawn(context, record(pool.hash(password(), late()), outcome),
                 asio::bind_cancellation_slot(signal.slot(), asio::detached));
  while (pool.stats().running == 0) context.poll();

  signal.emit(asio::cancellation_type::terminal);
  context.run();

  EXPECT_EQ(outcome->error().code, errc::closed);
  pool.close();
  EXPECT_EQ(pool.stats().hashed, 1U);
}

TEST(hash_pool, an_io_context_may_die_while_its_callers_wait_and_run) {
  hash_pool pool{config_of(dear)};
  auto witness = std::make_shared<int>(1);
  const auto keep = [](hash_pool& from, std::shared_ptr<int>) -> asio::awaitable<void> {
    static_cast<void>(co_await from.hash(password(), late()));
  };
  {
    asio::io_context context{1};
    for (int i = 0; i < 3; ++i) asio::co_spawn(context, keep(pool, witness), asio::detached);
    while (pool.stats().running == 0 || pool.stats().queued < 2) context.poll();
  }

  // The coroutines went with their context; the pool finishes in its own time and touches nothing of theirs.
  EXPECT_EQ(witness.use_count(), 1);
  pool.close();
}

TEST(hash_pool, a_completion_may_wait_in_an_io_context_that_never_runs_again) {
  auto pool = std::make_unique<hash_pool>(config_of(cheap));
  auto witness = std::make_shared<int>(1);
  const auto keep = [](hash_pool& from, std::shared_ptr<int>) -> asio::awaitable<void> {
    static_cast<void>(co_await from.hash(password(), late()));
  };
  {
    asio::io_context context{1};
    asio::co_spawn(context, keep(*pool, witness), asio::detached);
    context.poll();
    while (pool->stats().hashed == 0) std::this_thread::yield();
    pool.reset();
  }
  EXPECT_EQ(witness.use_count(), 1);
}

TEST(hash_pool, serves_many_shards_at_once) {
  hash_pool pool{config_of(cheap, 3)};
  const auto stored = run(pool.hash(password(), late()));
  std::atomic<int> matches{0};
  const auto client = [](hash_pool& from, std::string hash, std::atomic<int>& out) -> asio::awaitable<void> {
    for (int n = 0; n < 20; ++n) {
      const auto found = co_await from.verify(password(), hash, late());
      if (found.has_value() && found->matches) ++out;
    }
  };
  std::vector<std::thread> shards;
  for (int i = 0; i < 4; ++i) {
    shards.emplace_back([&] {
      asio::io_context context{1};
      for (int n = 0; n < 5; ++n) asio::co_spawn(context, client(pool, *stored, matches), asio::detached);
      context.run();
    });
  }
  for (auto& each : shards) each.join();

  EXPECT_EQ(matches, 400);
  EXPECT_EQ(pool.stats().hashed, 401U);
  EXPECT_EQ(pool.stats().queued, 0U);
}

TEST(hash_pool, counts_the_time_it_spends) {
  hash_pool pool{config_of(dear)};
  run(pool.hash(password(), late()));
  EXPECT_GT(pool.stats().busy_microseconds, 0U);
}

TEST(hash_pool, a_cost_libsodium_cannot_do_stops_the_start) {
  EXPECT_THROW(hash_pool{config_of({.memory_kib = 7, .passes = 2})}, std::invalid_argument);
  EXPECT_THROW(hash_pool{config_of({.memory_kib = 64, .passes = 0})}, std::invalid_argument);
}

}  // namespace
}  // namespace pam::crypto
