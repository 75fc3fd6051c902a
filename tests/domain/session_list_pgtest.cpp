// The list of a bearer's sessions: in one statement where there are no replicas, by the check and a read that
// a replica may take where there are. Both say the same, whatever became of the bearer.
#include <algorithm>
#include <functional>
#include <optional>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "async/tuple_await.hpp"
#include "server/auth/statements.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using boost::asio::awaitable;
using boost::uuids::to_string;
using pam::auth::errc;
using pam::auth::grant;
using pam::auth::session;

/// What a list says, to be compared.
struct answer {
  std::optional<errc> refusal;
  std::vector<std::string> sessions;

  bool operator==(const answer&) const = default;
};

void PrintTo(const answer& what, std::ostream* out) {
  *out << (what.refusal ? static_cast<int>(*what.refusal) : -1);
  for (const std::string& each : what.sessions) *out << "\n" << each;
}

std::string text_of(const session& one) {
  const auto moment = [](pam::auth::timestamp at) {
    return std::to_string(at.time_since_epoch().count()) + " ";
  };
  return to_string(one.id) + " " + moment(one.created_at) + moment(one.refreshed_at) +
         moment(one.expires_at) + moment(one.absolute_expires_at) + std::to_string(one.aal) + " " + one.amr +
         " " + one.ip.value_or("-") + " " + one.user_agent.value_or("-");
}

class session_list_test : public pam::tests::domain_test {
 protected:
  void SetUp() override {
    domain_test::SetUp();
    run_sql("SELECT make_partition('sessions', now() - interval '1 month')");
    run_sql("UPDATE token_cut SET valid_after = 'epoch'");
    pam::db::config how = settings();
    how.replicas.push_back({"/nowhere", 1});  // configured and away: the primary takes its reads
    catalogue_ = pam::auth::statement_catalogue();
    replicated_ = std::make_unique<pam::db::database>(context_, how, catalogue_);
    run([this]() -> awaitable<void> {
      auto started = co_await replicated_->start(soon());
      EXPECT_TRUE(started.has_value()) << (started.has_error() ? started.error().detail : "");
    });
    EXPECT_FALSE(database().has_replicas());
    EXPECT_TRUE(replicated_->has_replicas());
  }
  void TearDown() override {
    run([this]() -> awaitable<void> { co_await replicated_->close(soon()); });
    domain_test::TearDown();
  }

  static pam::auth::bearer bearer_of(const grant& of) {
    return {{of.account.id, of.refresh_token.session}, 4'000'000'000};
  }
  awaitable<answer> ask(pam::auth::sessions& process, pam::auth::bearer who) {
    auto listed = co_await process.list(who, soon());
    answer heard;
    if (listed.has_error()) {
      heard.refusal = listed.error().code;
    } else {
      for (const session& each : *listed) heard.sessions.push_back(text_of(each));
    }
    co_return heard;
  }
  /// What both ways answer.
  awaitable<answer> ask_both(pam::auth::bearer who) {
    pam::auth::sessions replicated{*replicated_, keys(), pam::auth::session_policy{}};
    const auto one = co_await ask(sessions(), who);
    const auto other = co_await ask(replicated, who);
    EXPECT_EQ(one, other);
    co_return one;
  }
  void change(const grant& of, const std::string& assignment) {
    run_sql("UPDATE accounts SET " + assignment + " WHERE id = '" + to_string(of.account.id) + "'");
  }
  void change_session(const grant& of, const std::string& assignment) {
    run_sql("UPDATE sessions SET " + assignment + " WHERE id = '" + to_string(of.refresh_token.session) +
            "'");
  }
  /// Other sessions of the account; the nth began n hours ago.
  void add_sessions(const grant& of, int count) {
    run_sql(
        "INSERT INTO sessions (id, account_id, refresh_token, expires_at, absolute_expires_at, created_at, "
        "refreshed_at, ip, user_agent) SELECT uuid7(at), '" +
        to_string(of.account.id) +
        "', decode(repeat('ab', 32), 'hex'), at + interval '60 days', at + interval '90 days', at, at, "
        "'192.0.2.7', 'agent ' || n FROM (SELECT n, now() - n * interval '1 hour' AS at FROM "
        "generate_series(1, " +
        std::to_string(count) + ") AS n) AS s");
  }

  std::vector<const pam::db::statement*> catalogue_;
  std::unique_ptr<pam::db::database> replicated_;
};

INSTANTIATE_TEST_SUITE_P(routes, session_list_test, testing::ValuesIn(pam::tests::every_route),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(session_list_test, holds_the_live_sessions_newest_first) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    add_sessions(made, 5);
    run_sql(
        "UPDATE sessions SET revoked_at = now(), revoke_reason = 1 WHERE user_agent = 'agent 2' AND "
        "account_id = '" +
        to_string(made.account.id) + "'");
    run_sql("UPDATE sessions SET expires_at = now() WHERE user_agent = 'agent 4' AND account_id = '" +
            to_string(made.account.id) + "'");

    const answer heard = co_await ask_both(bearer_of(made));

    EXPECT_EQ(heard.refusal, std::nullopt);
    std::vector<std::string> agents;
    agents.reserve(heard.sessions.size());
    for (const std::string& each : heard.sessions)
      agents.push_back(each.substr(each.find("192.0.2.7 ") + 10));
    EXPECT_EQ(agents, (std::vector<std::string>{"test", "agent 1", "agent 3", "agent 5"}));
  });
}

TEST_P(session_list_test, holds_the_newest_hundred_of_many) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    add_sessions(made, 130);

    const answer heard = co_await ask_both(bearer_of(made));

    EXPECT_EQ(heard.sessions.size(), 100U);
    EXPECT_TRUE(std::ranges::is_sorted(heard.sessions, std::ranges::greater{}));
    if (!heard.sessions.empty())
      EXPECT_TRUE(heard.sessions.back().ends_with("agent 99")) << heard.sessions.back();
  });
}

TEST_P(session_list_test, is_refused_to_whom_the_check_refuses) {
  run([this]() -> awaitable<void> {
    const auto refusal_of = [this](const grant& of) -> awaitable<std::optional<errc>> {
      const answer heard = co_await ask_both(bearer_of(of));
      EXPECT_TRUE(heard.sessions.empty());
      co_return heard.refusal;
    };
    const grant revoked = co_await new_account();
    change_session(revoked, "revoked_at = now(), revoke_reason = 1");
    const grant idle = co_await new_account();
    change_session(idle, "expires_at = now() - interval '1 second'");
    const grant gone = co_await new_account();
    run_sql("DELETE FROM sessions WHERE id = '" + to_string(gone.refresh_token.session) + "'");
    const grant banned = co_await new_account();
    change(banned, "banned_until = now() + interval '1 day'");
    const grant deleted = co_await new_account();
    change(deleted, "deleted_at = now()");
    grant nobody = co_await new_account();
    nobody.account.id = pam::auth::accounts::new_id();
    for (const grant* each : {&revoked, &idle, &gone, &banned, &deleted}) add_sessions(*each, 2);

    EXPECT_EQ(co_await refusal_of(revoked), errc::session_not_found);
    EXPECT_EQ(co_await refusal_of(idle), errc::session_not_found);
    EXPECT_EQ(co_await refusal_of(gone), errc::session_not_found);
    EXPECT_EQ(co_await refusal_of(banned), errc::account_banned);
    EXPECT_EQ(co_await refusal_of(deleted), errc::account_not_found);
    EXPECT_EQ(co_await refusal_of(nobody), errc::account_not_found);
  });
}

TEST_P(session_list_test, knows_the_cuts_of_the_account_and_of_everybody) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    add_sessions(made, 2);
    pam::auth::bearer issued_before = bearer_of(made);
    issued_before.issued_at = 1'000'000'000;
    change(made, "tokens_valid_after = now() - interval '90 minutes'");
    EXPECT_EQ((co_await ask_both(bearer_of(made))).sessions.size(), 2U);
    EXPECT_EQ((co_await ask_both(issued_before)).refusal, errc::session_not_found);
    change(made, "tokens_valid_after = clock_timestamp()");
    const answer none = co_await ask_both(bearer_of(made));
    EXPECT_EQ(none, answer{});

    const pam::auth::administrator by{.actor = "night-shift", .place = {}};
    EXPECT_TRUE((co_await sessions().end_everybody(by, soon())).has_value());

    EXPECT_EQ((co_await ask_both(bearer_of(made))).refusal, errc::session_not_found);
    const grant later = co_await new_account();
    add_sessions(later, 2);
    EXPECT_EQ((co_await ask_both(bearer_of(later))).sessions.size(), 1U);
  });
}

// They stand in one batch, and each hears of his own.
TEST_P(session_list_test, is_everybodys_own_when_many_ask_at_once) {
  run([this]() -> awaitable<void> {
    std::vector<pam::auth::bearer> callers;
    for (const int others : {0, 3, 40, 1, 0}) {
      const grant made = co_await new_account();
      add_sessions(made, others);
      callers.push_back(bearer_of(made));
    }
    const grant revoked = co_await new_account();
    change_session(revoked, "revoked_at = now(), revoke_reason = 1");
    callers.push_back(bearer_of(revoked));
    callers.push_back({{pam::auth::accounts::new_id(), revoked.refresh_token.session}, 4'000'000'000});
    std::vector<answer> alone;
    alone.reserve(callers.size());
    for (const pam::auth::bearer& each : callers) alone.push_back(co_await ask_both(each));
    const auto together_before = database().stats().statements_together;

    // More than the pipelines take one by one.
    constexpr std::size_t rounds = 8;
    std::vector<answer> heard(rounds * callers.size());
    std::size_t waiting = heard.size();
    boost::asio::steady_timer all{context_, boost::asio::steady_timer::time_point::max()};
    for (std::size_t i = 0; i < heard.size(); ++i) {
      auto one = [this, &heard, &callers, &waiting, &all, i]() -> awaitable<void> {
        heard[i] = co_await ask(sessions(), callers[i % callers.size()]);
        if (--waiting == 0) all.cancel();
      };
      boost::asio::co_spawn(context_, std::move(one), boost::asio::detached);
    }
    co_await all.async_wait(pam::async::tuple_await);

    for (std::size_t i = 0; i < heard.size(); ++i) EXPECT_EQ(heard[i], alone[i % callers.size()]) << i;
    EXPECT_GT(database().stats().statements_together, together_before);
  });
}

}  // namespace
