// A statement for several callers locks its rows in the order of their keys (docs/adr/0077), whatever order
// they lie in: seen from outside, while it waits in the middle for a row that a stranger holds.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <stdexcept>
#include <string>

#include "db/statement.hpp"
#include "server/auth/statements.hpp"
#include "server/cli/migration_runner.hpp"
#include "tests/support/test_database.hpp"

namespace {

constexpr int session_count = 60;
constexpr int held_one = 25;  ///< counted by key, from 1

std::string rotation_of_several() {
  const auto all = pam::auth::statement_catalogue();
  const auto found = std::ranges::find_if(all, [](const auto* each) {
    return each->opts.rank != pam::db::lock_rank::none && each->sql.find("unnest(") != std::string_view::npos;
  });
  if (found == all.end()) throw std::runtime_error("no write for several callers");
  return std::string{(*found)->sql};
}

void run(pam::db::admin_connection& by, const std::string& script) {
  const auto done = by.run(script);
  if (done.has_error()) throw std::runtime_error(script + ": " + done.error().detail);
}

std::string value(pam::db::admin_connection& by, const std::string& query) {
  const auto found = by.query(query);
  if (found.has_error()) throw std::runtime_error(query + ": " + found.error().detail);
  return found->values.at(0).at(0).value_or("");
}

/// Lets the writer go on, so that a test which fails in between ends.
struct stranger_leaves {
  pam::db::admin_connection& stranger;
  ~stranger_leaves() { static_cast<void>(stranger.run("ROLLBACK")); }
};

/// The sessions of two months, in a table that looks small, each partition's rows from the last key to the
/// first.
class lock_order : public testing::TestWithParam<const char*> {
 protected:
  lock_order() {
    const auto migrated = pam::cli::migrate_up(owner_, {});
    if (migrated.has_error()) throw std::runtime_error(migrated.error().sentence);
    run(owner_,
        "SET session_replication_role = replica;"
        "SELECT make_partition('sessions', now() - interval '1 month');"
        "INSERT INTO accounts (id, created_at) SELECT uuid7(), now() FROM generate_series(1, " +
            std::to_string(session_count) +
            ");"
            "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at,"
            " created_at, refreshed_at) SELECT uuid7(made), id, decode(repeat('ab', 32), 'hex'),"
            " now() + interval '30 days', now() + interval '90 days', made, made FROM (SELECT id, now() -"
            " interval '1 minute' * n - interval '1 month' * (n % 2) AS made FROM (SELECT id,"
            " row_number() OVER () AS n FROM accounts) AS a) AS s ORDER BY made DESC;");
    run(owner_, "VACUUM ANALYZE");
  }

  /// The keys that a statement of this text has locked while it waits for the held one, as "1-24".
  std::string locked_while_waiting(const std::string& sql) {
    // Nobody's lock timeout ends the wait.
    pam::db::admin_connection writer = database_.open();
    run(writer, std::string{"SET jit = off; SET lock_timeout = 0; SET plan_cache_mode = "} + GetParam() +
                    "; PREPARE several (uuid[], uuid[], bytea[], bytea[], int[], timestamptz[],"
                    " timestamptz[]) AS " +
                    sql);
    pam::db::admin_connection stranger = database_.open();
    run(stranger, "BEGIN");
    value(stranger, "SELECT id FROM sessions WHERE id = (SELECT id FROM sessions ORDER BY id OFFSET " +
                        std::to_string(held_one - 1) + " LIMIT 1) FOR UPDATE");
    const std::string command = "EXECUTE several " + calls();
    auto rotated = std::async(std::launch::async, [&] { return writer.query(command); });
    const stranger_leaves at_the_end{stranger};
    pam::tests::wait_for(
        owner_,
        "SELECT wait_event_type FROM pg_stat_activity WHERE pid = " + std::to_string(writer.backend_pid()),
        "Lock");
    std::string seen = value(
        owner_,
        "WITH free AS MATERIALIZED (SELECT id FROM sessions FOR UPDATE SKIP LOCKED), counted AS (SELECT id,"
        " row_number() OVER (ORDER BY id) AS n FROM sessions) SELECT min(n) || '-' || max(n) || ' of ' ||"
        " count(*) FROM counted WHERE n <> " +
            std::to_string(held_one) + " AND id NOT IN (SELECT id FROM free)");
    run(stranger, "ROLLBACK");
    const auto answers = rotated.get();
    if (answers.has_error()) throw std::runtime_error(answers.error().detail);
    EXPECT_EQ(answers->values.size(), static_cast<std::size_t>(session_count));
    return seen;
  }

 private:
  /// Every session with its own account, in the order of their keys.
  std::string calls() {
    std::string arguments;
    for (const char* const each :
         {"account_id", "id", "refresh_token", "refresh_token", "generation", "expires_at", "now()"}) {
      arguments += (arguments.empty() ? "(" : ", ") +
                   pam::db::quote_literal(value(owner_, std::string{"SELECT array_agg("} + each +
                                                            " ORDER BY id)::text FROM sessions"));
    }
    return arguments + ")";
  }

  pam::tests::test_database database_;
  pam::db::admin_connection owner_ = database_.open();
};

INSTANTIATE_TEST_SUITE_P(plans, lock_order, testing::Values("force_generic_plan", "force_custom_plan"),
                         [](const auto& info) { return std::string{info.param}; });

TEST_P(lock_order, of_refreshes_that_travel_together_is_that_of_their_keys) {
  EXPECT_EQ(locked_while_waiting(rotation_of_several()), "1-24 of 24");
}

// What the test above is worth: it sees another order.
TEST_P(lock_order, another_one_would_be_seen) {
  std::string backwards = rotation_of_several();
  const std::string end = "LIMIT (SELECT cardinality($1))";
  ASSERT_NE(backwards.find(end), std::string::npos);
  backwards.insert(backwards.find(end), "ORDER BY n DESC ");

  EXPECT_EQ(locked_while_waiting(backwards), "26-60 of 35");
}

}  // namespace
