// Nobody notices a migration: sign-ups, sign-ins and refreshes go on while the schema goes down to what these
// statements need, up again, and through the recipes of docs/database.md up, down and up.
// PAM_TEST_MIGRATION_ROUNDS repeats it; PAM_TEST_ACCOUNTS fills the database first.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>

#include "async/tuple_await.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/domain/domain_fixture.hpp"
#include "tests/domain/recipes.hpp"

namespace {

using boost::asio::awaitable;
using std::chrono::steady_clock;

// The newest migration that sign-up, sign-in and refresh need: the cut for everybody.
constexpr int floor_of_load = 19;

long number(const char* name, long otherwise) {
  const char* given = std::getenv(name);
  return given == nullptr ? otherwise : std::strtol(given, nullptr, 10);
}

class migrations_under_load : public pam::tests::domain_test {
 protected:
  struct counts {
    int answered = 0;
    int failed = 0;
    std::string first_failure;
    std::vector<double> milliseconds;
  };

  template <class Answer>
  void note(const Answer& answer, steady_clock::time_point begin) {
    ++seen_.answered;
    ++answered_;
    seen_.milliseconds.push_back(
        std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count());
    if (answer.has_value()) return;
    ++seen_.failed;
    if (seen_.first_failure.empty())
      seen_.first_failure = std::string{answer.error().reason} + ": " + answer.error().detail;
  }

  /// One user after the other until told to stop: signs up, refreshes, signs in, refreshes.
  awaitable<void> user(int number) {
    for (int round = 0; !must_stop_; ++round) {
      pam::auth::sign_up_command command;
      command.account = pam::auth::accounts::new_id();
      command.email = "load" + std::to_string(number) + "-" + std::to_string(round) + "-" +
                      std::to_string(++counter_) + "@example.com";
      command.password = pam::crypto::secret{"a-long-and-rare-passphrase"};
      command.documents = {"{}", "{}", "{}", "[]"};
      const std::string email = command.email;
      auto begin = steady_clock::now();
      auto granted = co_await accounts().sign_up(std::move(command), soon());
      note(granted, begin);
      if (granted.has_error()) continue;
      pam::crypto::refresh_token token = granted->refresh_token;
      for (int i = 0; i < 20 && !must_stop_; ++i) {
        begin = steady_clock::now();
        auto next = co_await refresh(token);
        note(next, begin);
        if (next.has_value()) token = next->refresh_token;
      }
      pam::auth::sign_in_command again;
      again.email = email;
      again.password = pam::crypto::secret{"a-long-and-rare-passphrase"};
      again.amr = "[]";
      begin = steady_clock::now();
      auto signed_in = co_await accounts().sign_in(std::move(again), soon());
      note(signed_in, begin);
    }
  }

  /// Runs users on the shard and `work` beside it; @return what the users saw meanwhile
  counts under_load(const std::function<void()>& work) {
    seen_ = {};
    answered_ = 0;
    must_stop_ = false;
    std::thread beside;
    run([&]() -> awaitable<void> {
      constexpr int users = 8;
      int pending = users;
      boost::asio::steady_timer done{context_, steady_clock::time_point::max()};
      for (int i = 0; i < users; ++i)
        boost::asio::co_spawn(context_, user(i), [&](const std::exception_ptr& failure) {
          if (failure) ++seen_.failed;
          if (--pending == 0) done.cancel();
        });
      beside = std::thread{[&] {
        work();
        must_stop_ = true;
      }};
      co_await done.async_wait(pam::async::tuple_await);
    });
    beside.join();
    return seen_;
  }

  static double percentile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  }

 private:
  counts seen_;
  std::atomic<bool> must_stop_{false};
  int counter_ = 0;

 protected:
  std::atomic<int> answered_{0};
};

INSTANTIATE_TEST_SUITE_P(routes, migrations_under_load,
                         testing::Values(pam::tests::route::direct, pam::tests::route::pooled),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(migrations_under_load, nobody_notices) {
  const auto embedded = pam::migrations::embedded_migrations();
  std::vector<pam::migrations::migration> known{embedded.begin(), embedded.end()};
  const int newest = known.back().version;
  const auto recipes = pam::tests::recipes(newest + 1);
  known.insert(known.end(), recipes.begin(), recipes.end());
  pam::cli::migration_options options;
  options.known = known;
  options.allow_contract = true;  // the heartbeat gate has tests of its own
  options.pace.duty = 1;
  options.retry_first = std::chrono::milliseconds{20};
  auto connection = open_admin();
  const auto go = [&](int target) {
    const auto ledger = pam::cli::read_ledger(connection);
    ASSERT_TRUE(ledger.has_value());
    const bool is_up = target > static_cast<int>(ledger->size());
    options.target = target;
    const auto done = is_up ? pam::cli::migrate_up(connection, options)
                            : pam::cli::migrate_down(connection, target, options);
    ASSERT_TRUE(done.has_value()) << done.error().sentence;
  };
  if (const long wanted = number("PAM_TEST_ACCOUNTS", 0); wanted > 0)
    run_sql(
        "INSERT INTO accounts (id, email) SELECT uuid7(), 'f' || n || '@example.com' FROM "
        "generate_series(1, " +
        std::to_string(wanted) + ") n");
  const counts quiet = under_load([&] {
    while (answered_ < 200) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  });

  const counts busy = under_load([&] {
    for (long round = 0; round < number("PAM_TEST_MIGRATION_ROUNDS", 1); ++round) {
      const int top = newest + static_cast<int>(recipes.size());
      for (int version = newest - 1; version >= floor_of_load; --version) go(version);
      for (int version = floor_of_load + 1; version <= top; ++version) go(version);
      for (int version = top - 1; version >= newest; --version) go(version);
      for (int version = newest + 1; version <= top; ++version) go(version);
      for (int version = top - 1; version >= newest; --version) go(version);
    }
  });

  EXPECT_GT(busy.answered, 50);
  EXPECT_EQ(busy.failed, 0) << busy.first_failure;
  std::cout << "[ figures  ] " << to_string(GetParam()) << ": " << busy.answered << " answers, "
            << busy.failed << " failed, p99 " << percentile(busy.milliseconds, 0.99)
            << " ms, without migrations " << percentile(quiet.milliseconds, 0.99) << " ms of "
            << quiet.answered << "\n";
}

}  // namespace
