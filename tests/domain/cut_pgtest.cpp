// What ends sessions from outside: the cut for everybody, tokens_valid_after of one account, a ban, a
// deletion. Every process must obey.
#include <gmock/gmock.h>

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "async/tuple_await.hpp"
#include "server/auth/token_cut.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using boost::asio::awaitable;
using pam::auth::errc;
using pam::auth::grant;

class cut_test : public pam::tests::domain_test {
 protected:
  static pam::auth::bearer bearer_of(const grant& of) {
    return {{of.account.id, of.refresh_token.session}, 4'000'000'000};
  }
  /// What a process that knows nothing yet says of the session.
  awaitable<std::optional<errc>> refusal_of(pam::auth::sessions& process, const grant& of) {
    auto checked = co_await process.check(bearer_of(of), soon());
    std::optional<errc> refusal;
    if (checked.has_error()) refusal = checked.error().code;
    co_return refusal;
  }
  static constexpr std::size_t many = 20;
  /// What it says of as many requests at once.
  awaitable<std::vector<std::optional<errc>>> refusals_of(pam::auth::sessions& process, const grant& of) {
    std::vector<std::optional<errc>> refusals;
    boost::asio::steady_timer answered{context_, boost::asio::steady_timer::time_point::max()};
    const auto ask = [&]() -> awaitable<void> {
      refusals.push_back(co_await refusal_of(process, of));
      if (refusals.size() == many) answered.cancel();
    };
    for (std::size_t i = 0; i < many; ++i) boost::asio::co_spawn(context_, ask(), boost::asio::detached);
    co_await answered.async_wait(pam::async::tuple_await);
    co_return refusals;
  }
  static pam::auth::administrator operator_of() {
    return {.actor = "night-shift", .place = {.ip = "192.0.2.9", .user_agent = {}, .request_id = "r-1"}};
  }
  void change(const grant& of, const std::string& assignment) {
    run_sql("UPDATE accounts SET " + assignment + " WHERE id = '" + boost::uuids::to_string(of.account.id) +
            "'");
  }
};

INSTANTIATE_TEST_SUITE_P(routes, cut_test,
                         testing::Values(pam::tests::route::direct, pam::tests::route::pooled),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(cut_test, for_everybody_ends_what_began_before_and_nothing_after) {
  run([this]() -> awaitable<void> {
    const grant before = co_await new_account();

    auto cut = co_await sessions().end_everybody(operator_of(), soon());
    EXPECT_TRUE(cut.has_value());
    const grant after = co_await new_account();

    EXPECT_EQ(co_await refusal_of(sessions(), before), errc::session_not_found);
    auto refreshed = co_await refresh(before.refresh_token);
    EXPECT_TRUE(refreshed.has_error() && refreshed.error().code == errc::session_not_found);
    EXPECT_EQ(co_await refusal_of(sessions(), after), std::nullopt);
    EXPECT_TRUE((co_await refresh(after.refresh_token)).has_value());
  });
}

TEST_P(cut_test, for_everybody_is_in_the_audit_log_with_who_made_it) {
  run([this]() -> awaitable<void> {
    auto cut = co_await sessions().end_everybody(operator_of(), soon());

    EXPECT_TRUE(cut.has_value());
    EXPECT_EQ(
        query_one("SELECT kind || ' ' || actor || ' ' || host(ip) || ' ' || request_id || ' ' || "
                  "(occurred_at = (SELECT valid_after FROM token_cut)) FROM auth_events WHERE account_id = "
                  "'00000000-0000-0000-0000-000000000000' ORDER BY occurred_at DESC LIMIT 1"),
        "everybody_signed_out night-shift 192.0.2.9 r-1 true");
  });
}

TEST_P(cut_test, is_obeyed_by_another_process_after_its_knowledge_has_aged) {
  run([this]() -> awaitable<void> {
    const grant before = co_await new_account();
    pam::auth::sessions other{database(), keys(), pam::auth::session_policy{}};
    EXPECT_EQ(co_await refusal_of(other, before), std::nullopt);

    EXPECT_TRUE((co_await sessions().end_everybody(operator_of(), soon())).has_value());
    boost::asio::steady_timer aging{context_, pam::auth::token_cut::max_age};
    co_await aging.async_wait(pam::async::tuple_await);

    EXPECT_EQ(co_await refusal_of(other, before), errc::session_not_found);
    static_assert(pam::auth::token_cut::max_age < std::chrono::seconds{1});
  });
}

TEST_P(cut_test, is_obeyed_by_a_process_that_starts_later) {
  run([this]() -> awaitable<void> {
    const grant before = co_await new_account();
    EXPECT_TRUE((co_await sessions().end_everybody(operator_of(), soon())).has_value());

    pam::auth::sessions restarted{database(), keys(), pam::auth::session_policy{}};

    EXPECT_EQ(co_await refusal_of(restarted, before), errc::session_not_found);
  });
}

TEST_P(cut_test, is_read_once_for_all_who_come_while_it_is_read) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    pam::auth::sessions restarted{database(), keys(), pam::auth::session_policy{}};
    const auto before = database().stats().statements_executed;

    const auto refusals = co_await refusals_of(restarted, made);

    EXPECT_THAT(refusals, testing::Each(std::optional<errc>{}));
    EXPECT_EQ(database().stats().statements_executed - before, 1 + many);
  });
}

TEST_P(cut_test, whose_read_fails_fails_those_who_wait_for_it) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    run_sql("CREATE TABLE kept AS SELECT * FROM token_cut; DELETE FROM token_cut");
    pam::auth::sessions restarted{database(), keys(), pam::auth::session_policy{}};

    const auto before = database().stats().statements_executed;
    const auto refusals = co_await refusals_of(restarted, made);
    run_sql("INSERT INTO token_cut SELECT * FROM kept; DROP TABLE kept");

    EXPECT_THAT(refusals, testing::Each(std::optional{errc::internal}));
    EXPECT_EQ(database().stats().statements_executed - before, 1U);
  });
}

TEST_P(cut_test, keeps_nobody_waiting_for_a_read_beyond_his_own_deadline) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    pam::auth::sessions restarted{database(), keys(), pam::auth::session_policy{}};
    auto stranger = open_admin();
    EXPECT_TRUE(stranger.run("BEGIN; LOCK TABLE token_cut IN ACCESS EXCLUSIVE MODE").has_value());
    std::vector<std::string> answered;
    boost::asio::steady_timer both{context_, boost::asio::steady_timer::time_point::max()};
    const auto ask = [&](std::string name, std::chrono::milliseconds budget) -> awaitable<void> {
      auto checked = co_await restarted.check(bearer_of(made), pam::async::within(budget));
      EXPECT_TRUE(checked.has_error() && checked.error().code == errc::unavailable);
      answered.push_back(std::move(name));
      if (answered.size() == 2) both.cancel();
    };

    boost::asio::co_spawn(context_, ask("reads", std::chrono::seconds{2}), boost::asio::detached);
    boost::asio::co_spawn(context_, ask("waits", std::chrono::milliseconds{300}), boost::asio::detached);
    co_await both.async_wait(pam::async::tuple_await);

    EXPECT_THAT(answered, testing::ElementsAre("waits", "reads"));
    EXPECT_TRUE(stranger.run("ROLLBACK").has_value());
  });
}

TEST_P(cut_test, never_moves_back) {
  run([this]() -> awaitable<void> {
    auto first = co_await sessions().end_everybody(operator_of(), soon());
    EXPECT_TRUE(first.has_value());
    pam::auth::token_cut earlier{database()};

    auto second = co_await earlier.move(*first - std::chrono::hours{1}, operator_of(), soon());

    EXPECT_TRUE(second.has_value() && *second == *first);
  });
}

TEST_P(cut_test, without_its_row_lets_nobody_in) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    run_sql("CREATE TABLE kept AS SELECT * FROM token_cut; DELETE FROM token_cut");
    pam::auth::sessions restarted{database(), keys(), pam::auth::session_policy{}};

    const auto refusal = co_await refusal_of(restarted, made);
    run_sql("INSERT INTO token_cut SELECT * FROM kept; DROP TABLE kept");

    EXPECT_EQ(refusal, errc::internal);
  });
}

TEST_P(cut_test, of_one_account_ends_its_sessions_at_the_next_request) {
  run([this]() -> awaitable<void> {
    const grant hit = co_await new_account();
    const grant spared = co_await new_account();
    pam::auth::bearer issued_before = bearer_of(hit);
    issued_before.issued_at = 1'000'000'000;
    change(hit, "tokens_valid_after = clock_timestamp()");

    auto checked = co_await sessions().check(issued_before, soon());
    auto read = co_await sessions().read(issued_before, soon());
    auto refreshed = co_await refresh(hit.refresh_token);
    auto listed = co_await sessions().list(bearer_of(hit), soon());

    EXPECT_TRUE(checked.has_error() && checked.error().code == errc::session_not_found);
    EXPECT_TRUE(read.has_error() && read.error().code == errc::session_not_found);
    EXPECT_TRUE(refreshed.has_error() && refreshed.error().code == errc::session_not_found);
    EXPECT_TRUE(listed.has_value() && listed->empty());
    EXPECT_TRUE((co_await refresh(spared.refresh_token)).has_value());
  });
}

TEST_P(cut_test, of_one_account_stops_a_change_that_was_under_way) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    change(made, "tokens_valid_after = clock_timestamp()");
    pam::auth::update_command command;
    command.metadata_set = R"({"late":true})";

    auto updated =
        co_await accounts().update({made.account.id, made.refresh_token.session}, std::move(command), soon());

    EXPECT_TRUE(updated.has_error());
    EXPECT_EQ(query_one("SELECT count(*)::text FROM accounts WHERE metadata ? 'late'"), "0");
  });
}

TEST_P(cut_test, a_ban_and_a_deletion_end_sessions_at_the_next_request) {
  run([this]() -> awaitable<void> {
    const grant banned = co_await new_account();
    const grant deleted = co_await new_account();
    change(banned, "banned_until = clock_timestamp() + interval '1 day'");
    change(deleted, "deleted_at = clock_timestamp()");

    EXPECT_EQ(co_await refusal_of(sessions(), banned), errc::account_banned);
    EXPECT_EQ(co_await refusal_of(sessions(), deleted), errc::account_not_found);
    EXPECT_TRUE((co_await sessions().read(bearer_of(banned), soon())).has_error());
    EXPECT_TRUE((co_await sessions().read(bearer_of(deleted), soon())).has_error());
    EXPECT_TRUE((co_await refresh(banned.refresh_token)).has_error());
    EXPECT_TRUE((co_await refresh(deleted.refresh_token)).has_error());
  });
}

TEST_P(cut_test, a_ban_that_has_passed_ends_nothing) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    change(made, "banned_until = clock_timestamp() - interval '1 second'");

    EXPECT_EQ(co_await refusal_of(sessions(), made), std::nullopt);
    EXPECT_TRUE((co_await refresh(made.refresh_token)).has_value());
  });
}

}  // namespace
