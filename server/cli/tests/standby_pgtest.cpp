// With a standby of the test's own: what is read there, and what waits for it.
#include <set>
#include <sstream>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/tests/cluster_fixture.hpp"
#include "server/cli/audit_export.hpp"
#include "server/cli/maintenance.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

class standby : public ::testing::Test {
 protected:
  standby() : cluster_(1), primary_(cluster_.admin(1)) {
    const auto done = migrate_up(primary_, {});
    if (done.has_error()) throw std::runtime_error(done.error().sentence);
  }
  void sql(const std::string& script) {
    const auto done = primary_.run(script);
    ASSERT_TRUE(done.has_value()) << script << ": " << done.error().detail;
  }
  void wait_for_replay() {
    tests::wait_for(primary_,
                    "SELECT count(*) > 0 AND bool_and(replay_lsn >= pg_current_wal_lsn()) FROM "
                    "pg_stat_replication",
                    "t");
  }

  db::testing::cluster cluster_;
  db::admin_connection primary_;
};

// Replay waits for nobody here (max_standby_streaming_delay = 0): a page that a lock of the primary meets is
// cancelled, and asked for again.
TEST_F(standby, serves_an_export_of_the_audit_log_whole_whatever_its_replay_cancels) {
  sql("INSERT INTO auth_events (account_id, occurred_at, id, kind, success) SELECT gen_random_uuid(), now() "
      "- n * "
      "interval '1 second', uuid7(), 'sign_in', true FROM generate_series(1, 3000) n");
  cluster_.sql(2, "ALTER SYSTEM SET max_standby_streaming_delay = 0");
  cluster_.sql(2, "SELECT pg_reload_conf()");
  wait_for_replay();
  export_request wanted;
  wanted.to =
      std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()) + std::chrono::hours{1};
  wanted.from = wanted.to - std::chrono::days{1};
  wanted.page = 40;
  // An exception that left the thread would end every test of the program.
  std::jthread locking{[this](const std::stop_token& is_over) {
    try {
      auto other = cluster_.admin(1);
      auto replayed = cluster_.admin(2);
      while (!is_over.stop_requested()) {
        EXPECT_TRUE(other.run("BEGIN; LOCK TABLE auth_events IN ACCESS EXCLUSIVE MODE; COMMIT").has_value());
        // One at a time: a replay that is behind would hold the lock always, and no page would get through.
        const auto now = other.query("SELECT pg_current_wal_flush_lsn()");
        ASSERT_TRUE(now.has_value()) << now.error().detail;
        tests::wait_for(replayed, "SELECT pg_last_wal_replay_lsn() >= '" + now->values[0][0].value() + "'",
                        "t");
      }
    } catch (const std::exception& failure) {
      ADD_FAILURE() << failure.what();
    }
  }};
  auto watcher = cluster_.admin(2);
  const auto cancelled = [&] {
    const auto seen = watcher.query("SELECT sum(confl_lock) FROM pg_stat_database_conflicts");
    return seen.has_value() ? std::stoi(seen->values[0][0].value_or("0")) : 0;
  };

  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  do {
    auto reader = cluster_.admin(2);
    std::multiset<std::string> lines;
    export_report report;
    const auto done = export_audit(
        reader, [&]() -> db::result<db::admin_connection> { return cluster_.admin(2); }, wanted,
        [&](std::string_view page) {
          std::istringstream in{std::string{page}};
          for (std::string line; std::getline(in, line);) lines.insert(line);
          return std::string{};
        },
        {}, report);
    ASSERT_TRUE(done.has_value()) << done.error().sentence;
    EXPECT_EQ(lines.size(), 3'000U);
    EXPECT_EQ(std::set<std::string>(lines.begin(), lines.end()).size(), 3'000U);
  } while (cancelled() == 0 && std::chrono::steady_clock::now() < end);
  locking.request_stop();
  locking.join();

  EXPECT_GT(cancelled(), 0) << "no page was ever cancelled: nothing was shown";
}

TEST_F(standby, that_lags_postpones_what_can_wait_until_it_has_caught_up) {
  cluster_.sql(2, "SELECT pg_wal_replay_pause()");
  sql("CREATE TABLE ballast AS SELECT n, repeat('x', 1000) FROM generate_series(1, 2000) n");
  maintenance_options options;
  options.lag_limit_bytes = 1024 * 1024;
  const auto round = [&] {
    auto worker = cluster_.admin(1);
    std::vector<std::string> lines;
    const auto failed =
        maintain(worker, options, [&](const step_report& each) { lines.push_back(each.line); });
    EXPECT_TRUE(failed.has_value() && *failed == 0);
    return lines;
  };

  const auto behind = round();
  cluster_.sql(2, "SELECT pg_wal_replay_resume()");
  wait_for_replay();
  const auto caught_up = round();

  EXPECT_THAT(behind, AllOf(Contains(AllOf(HasSubstr("refresh:report_active postponed: a replica is "),
                                           HasSubstr(" kB of WAL behind"))),
                            Not(Contains(HasSubstr("refresh report_active")))));
  EXPECT_THAT(caught_up, Contains(HasSubstr("refresh report_active")));
}

}  // namespace
}  // namespace pam::cli
