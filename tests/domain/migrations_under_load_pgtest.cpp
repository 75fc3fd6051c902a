// Nobody notices a migration: sign-ups, sign-ins and refreshes go on while the schema goes down to what these
// statements need and up again, and while each recipe of docs/database.md goes up, down and up.
// PAM_TEST_MIGRATION_ROUNDS repeats the first; PAM_TEST_ACCOUNTS and PAM_TEST_SESSIONS fill the database
// before the recipes, and the time of each migration is told then.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <thread>
#include <utility>

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

int embedded_newest() {
  return pam::migrations::embedded_migrations().back().version;
}

/// Goes up and down through the product's migrations and a recipe, one at a time, and notes what each took.
class migration_walk {
 public:
  migration_walk(pam::db::admin_connection connection, const pam::tests::recipe& recipe)
      : connection_(std::move(connection)) {
    const auto embedded = pam::migrations::embedded_migrations();
    known_.assign(embedded.begin(), embedded.end());
    known_.insert(known_.end(), recipe.begin(), recipe.end());
    options_.known = known_;
    options_.allow_contract = true;  // the heartbeat gate has tests of its own
    options_.pace.duty = 1;
    options_.retry_first = std::chrono::milliseconds{20};
    options_.on_progress = [this](const pam::cli::migration_progress& at) {
      retries_ += at.what == pam::cli::migration_progress::step::retrying ? 1 : 0;
    };
  }
  migration_walk(const migration_walk&) = delete;
  migration_walk& operator=(const migration_walk&) = delete;

  [[nodiscard]] int newest() const { return known_.back().version; }

  void go_each(int target) {
    const auto ledger = pam::cli::read_ledger(connection_);
    ASSERT_TRUE(ledger.has_value());
    const auto at = static_cast<int>(ledger->size());
    for (int version = at + 1; version <= target; ++version) go(version, version, true);
    for (int version = at - 1; version >= target; --version) go(version, version + 1, false);
  }

  /// A line a migration: its time up and down, and how often a lock was refused and tried again.
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  void go(int target, int moved, bool is_up) {
    options_.target = target;
    retries_ = 0;
    const auto begin = steady_clock::now();
    const auto done = is_up ? pam::cli::migrate_up(connection_, options_)
                            : pam::cli::migrate_down(connection_, target, options_);
    ASSERT_TRUE(done.has_value()) << done.error().sentence;
    const auto taken = std::chrono::duration_cast<std::chrono::milliseconds>(steady_clock::now() - begin);
    lines_.push_back(std::string{known_[static_cast<std::size_t>(moved) - 1].name} +
                     (is_up ? " up " : " down ") + std::to_string(taken.count()) + " ms, " +
                     std::to_string(retries_) + " locks refused");
  }

  pam::db::admin_connection connection_;
  std::vector<pam::migrations::migration> known_;
  pam::cli::migration_options options_;
  int retries_ = 0;
  std::vector<std::string> lines_;
};

/// Two servers of neighbouring versions that count logins, each on its own connection.
class login_counters {
 public:
  login_counters(pam::db::admin_connection older, pam::db::admin_connection newer)
      : servers_{std::move(older), std::move(newer)} {}

  void run(const std::string& older, const std::string& newer) {
    const auto accounts = servers_[0].query("SELECT id FROM accounts ORDER BY id LIMIT 40");
    ASSERT_TRUE(accounts.has_value());
    ASSERT_FALSE(accounts->empty());
    for (const auto& row : accounts->values)
      for (const std::size_t server : {1U, 0U}) {  // the older writes last, past what it does not know
        const auto done =
            servers_[server].query((server == 0 ? older : newer) + " WHERE id = $1::uuid", {row[0]});
        ASSERT_TRUE(done.has_value()) << done.error().detail;
        ++written_;
      }
  }

  void expect_refused(const std::string& write) {
    const auto done = servers_[0].run(write + " WHERE id = (SELECT id FROM accounts ORDER BY id LIMIT 1)");
    EXPECT_TRUE(done.has_error()) << "a value that only one column has was let in";
  }

  long sum(const std::string& column) {
    const auto found = servers_[0].query("SELECT coalesce(sum(" + column + "), 0) FROM accounts");
    if (found.has_error()) return -1;
    return std::strtol(found->values[0][0]->c_str(), nullptr, 10);
  }
  [[nodiscard]] long written() const { return written_; }

 private:
  std::array<pam::db::admin_connection, 2> servers_;
  long written_ = 0;
};

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
      seen_.first_failure = "code " + std::to_string(static_cast<int>(answer.error().code)) + " " +
                            std::string{answer.error().reason} + ": " + answer.error().detail;
  }

  /// One user after the other until told to stop: signs up, refreshes, signs in, refreshes.
  awaitable<void> user() {
    while (!must_stop_) {
      pam::auth::sign_up_command command;
      command.account = pam::auth::accounts::new_id();
      command.email = to_string(command.account) + "@example.com";
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
        boost::asio::co_spawn(context_, user(), [&](const std::exception_ptr& failure) {
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

  void wait_for_answers(int more) {
    const int wanted = answered_ + more;
    while (answered_ < wanted) std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }

  /// PAM_TEST_ACCOUNTS and PAM_TEST_SESSIONS rows that were there before.
  void fill() {
    if (std::exchange(is_filled_, true)) return;
    const std::string accounts = std::to_string(number("PAM_TEST_ACCOUNTS", 0));
    const std::string sessions = std::to_string(number("PAM_TEST_SESSIONS", 0));
    run_sql(
        "BEGIN; SET LOCAL session_replication_role = replica;"
        "INSERT INTO accounts (id, email) SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, "
        "'0'))::uuid, 'f' || n || '@example.com' FROM generate_series(1, " +
        accounts +
        ") n ON CONFLICT DO NOTHING;"
        "INSERT INTO identities (account_id, id, provider, provider_id, identity_data) SELECT id, id, "
        "'email', id::text, '{}' FROM accounts ON CONFLICT DO NOTHING;"
        "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, created_at, "
        "refreshed_at) SELECT uuid7(), ('00000000-0000-7000-8000-' || lpad(to_hex(1 + n % greatest(" +
        accounts +
        ", 1)), 12, '0'))::uuid, decode(repeat('ab', 32), 'hex'), now() + interval '30 days', now() + "
        "interval '90 days', now(), now() FROM generate_series(1, " +
        sessions + ") n; COMMIT");
  }

  static void judge(const std::string& what, const counts& busy, const counts& quiet,
                    const migration_walk& walk) {
    EXPECT_GT(busy.answered, 50);
    EXPECT_EQ(busy.failed, 0) << busy.first_failure;
    std::cout << "[ figures  ] " << to_string(GetParam()) << ", " << what << ": " << busy.answered
              << " answers, " << busy.failed << " failed, p99 " << percentile(busy.milliseconds, 0.99)
              << " ms, longest " << percentile(busy.milliseconds, 1) << " ms; without migrations p99 "
              << percentile(quiet.milliseconds, 0.99) << " ms of " << quiet.answered << "\n";
    if (number("PAM_TEST_ACCOUNTS", 0) == 0) return;
    for (const std::string& line : walk.lines()) std::cout << "[          ]   " << line << "\n";
  }

  static double percentile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  }

 private:
  static inline bool is_filled_ = false;  // one database for both routes
  counts seen_;
  std::atomic<bool> must_stop_{false};

 protected:
  std::atomic<int> answered_{0};
};

INSTANTIATE_TEST_SUITE_P(routes, migrations_under_load,
                         testing::Values(pam::tests::route::direct, pam::tests::route::pooled),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(migrations_under_load, nobody_notices_the_schema_go_down_and_up) {
  migration_walk walk{open_admin(), {}};
  const counts quiet = under_load([&] { wait_for_answers(200); });

  const counts busy = under_load([&] {
    for (long round = 0; round < number("PAM_TEST_MIGRATION_ROUNDS", 1); ++round) {
      walk.go_each(floor_of_load);
      wait_for_answers(50);
      walk.go_each(walk.newest());
      wait_for_answers(50);
    }
  });

  judge("schema", busy, quiet, walk);
}

TEST_P(migrations_under_load, nobody_notices_a_recipe) {
  const int first = embedded_newest() + 1;
  const std::pair<const char*, pam::tests::recipe> each_recipe[] = {
      {"a NOT NULL column", pam::tests::not_null_column(first)},
      {"an index on a partitioned table", pam::tests::partitioned_index(first)},
      {"a table partitioned", pam::tests::partitioned_table(first)},
  };
  fill();
  const counts quiet = under_load([&] { wait_for_answers(200); });
  for (const auto& [name, recipe] : each_recipe) {
    migration_walk walk{open_admin(), recipe};

    const counts busy = under_load([&] {
      walk.go_each(walk.newest());
      wait_for_answers(50);
      walk.go_each(embedded_newest());
      if (number("PAM_TEST_ACCOUNTS", 0) > 0) return;  // once is enough to measure, and takes minutes
      walk.go_each(walk.newest());
      wait_for_answers(50);
      walk.go_each(embedded_newest());
    });

    judge(name, busy, quiet, walk);
  }
}

// Four versions of a server that counts logins, two of them at a time as during a roll-out, while the
// column's type changes and servers that know nothing of it work beside them.
TEST_P(migrations_under_load, nobody_notices_a_type_change_and_no_login_is_lost) {
  constexpr const char* writes[] = {
      "UPDATE accounts SET logins = logins + 1",
      "UPDATE accounts SET logins = logins + 1, logins_wide = logins + 1",
      "UPDATE accounts SET logins = logins_wide + 1, logins_wide = logins_wide + 1",
      "UPDATE accounts SET logins_wide = logins_wide + 1",
  };
  const int first = embedded_newest() + 1;
  migration_walk walk{open_admin(), pam::tests::wider_type(first)};
  fill();
  const counts quiet = under_load([&] { wait_for_answers(200); });
  walk.go_each(first);
  login_counters counters{open_admin("pam_app"), open_admin("pam_app")};

  const counts busy = under_load([&] {
    counters.run(writes[0], writes[0]);
    walk.go_each(first + 1);
    counters.run(writes[0], writes[1]);
    counters.run(writes[1], writes[1]);
    walk.go_each(first + 3);
    counters.run(writes[1], writes[1]);
    walk.go_each(first + 4);
    counters.expect_refused(writes[0]);
    walk.go_each(first + 6);
    counters.run(writes[1], writes[2]);
    counters.run(writes[2], writes[2]);
    walk.go_each(first + 7);
    counters.run(writes[2], writes[3]);
    walk.go_each(first + 8);
    counters.run(writes[3], writes[3]);
    EXPECT_EQ(counters.sum("logins_wide"), counters.written());
    walk.go_each(embedded_newest());
  });

  EXPECT_GT(counters.written(), 0);
  judge("a type changed", busy, quiet, walk);
}

}  // namespace
