#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "async/tuple_await.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using boost::asio::awaitable;
using pam::auth::errc;
using pam::auth::grant;
using pam::crypto::secret;

constexpr const char* password = "a-long-and-rare-passphrase";

class account_test : public pam::tests::domain_test {
 protected:
  awaitable<pam::auth::result<pam::auth::sign_in_outcome>> sign_in(std::string email, std::string_view with) {
    pam::auth::sign_in_command command;
    command.email = std::move(email);
    command.password = secret{with};
    command.amr = "[]";
    return accounts().sign_in(std::move(command), soon());
  }
  awaitable<pam::auth::result<grant>> sign_up(std::string email) {
    pam::auth::sign_up_command command;
    command.account = pam::auth::accounts::new_id();
    command.email = std::move(email);
    command.password = secret{password};
    command.documents = {"{}", "{}", "{}", "[]"};
    return accounts().sign_up(std::move(command), soon());
  }
};

INSTANTIATE_TEST_SUITE_P(routes, account_test, testing::ValuesIn(pam::tests::every_route),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(account_test, sign_up_writes_claim_account_identity_and_session_together) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const std::string id = "'" + boost::uuids::to_string(made.account.id) + "'";

    EXPECT_EQ(query_one("SELECT value FROM claims WHERE account_id = " + id), made.account.email);
    EXPECT_EQ(query_one("SELECT count(*)::text FROM identities WHERE account_id = " + id), "1");
    EXPECT_EQ(query_one("SELECT count(*)::text FROM sessions WHERE account_id = " + id), "1");
    EXPECT_EQ(made.account.metadata, R"({"name": "Ada"})");
  });
}

TEST_P(account_test, one_of_many_concurrent_sign_ups_of_an_address_wins_and_the_others_write_nothing) {
  run([this]() -> awaitable<void> {
    int won = 0;
    int taken = 0;
    std::size_t pending = 16;
    boost::asio::steady_timer done{context_, boost::asio::steady_timer::time_point::max()};
    const std::string email = "race-" + to_string(GetParam()) + "@example.com";
    for (int i = 0; i < 16; ++i) {
      boost::asio::co_spawn(context_, sign_up(email), [&](std::exception_ptr, auto answer) {
        if (answer.has_value()) ++won;
        if (answer.has_error() && answer.error().code == errc::account_exists) ++taken;
        if (--pending == 0) done.cancel();
      });
    }
    co_await done.async_wait(pam::async::tuple_await);

    EXPECT_EQ(won, 1);
    EXPECT_EQ(taken, 15);
    EXPECT_EQ(query_one("SELECT count(*)::text FROM accounts WHERE email = '" + email + "'"), "1");
    EXPECT_EQ(
        query_one(
            "SELECT count(*)::text FROM sessions s JOIN accounts a ON a.id = s.account_id WHERE a.email = '" +
            email + "'"),
        "1");
    EXPECT_EQ(query_one("SELECT count(*)::text FROM claims c LEFT JOIN accounts a ON a.id = c.account_id "
                        "WHERE a.id IS NULL"),
              "0");
  });
}

TEST_P(account_test, sign_in_works_with_any_spelling_of_the_address) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    std::string shouted = made.account.email;
    shouted[0] = 'U';

    auto outcome = co_await sign_in("  " + shouted + " ", password);

    EXPECT_TRUE(outcome.has_value());
    if (outcome.has_error()) co_return;
    EXPECT_EQ(outcome->grant.account.id, made.account.id);
    EXPECT_NE(outcome->grant.refresh_token.session, made.refresh_token.session);
    EXPECT_TRUE((co_await refresh(outcome->grant.refresh_token)).has_value());
  });
}

TEST_P(account_test, a_wrong_password_and_an_unknown_address_answer_alike_and_run_as_many_statements) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const auto start = database().stats();
    auto wrong = co_await sign_in(made.account.email, "not-the-password");
    const auto middle = database().stats();
    auto unknown = co_await sign_in("nobody@example.com", "not-the-password");
    const auto end = database().stats();

    EXPECT_TRUE(wrong.has_error() && wrong.error().code == errc::invalid_credentials);
    EXPECT_TRUE(unknown.has_error() && unknown.error().code == errc::invalid_credentials);
    EXPECT_EQ(middle.statements_sent - start.statements_sent, end.statements_sent - middle.statements_sent);
    EXPECT_EQ(query_one("SELECT failed_count::text FROM accounts WHERE email = '" + made.account.email + "'"),
              "1");
  });
}

TEST_P(account_test, success_resets_the_failure_count) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    auto wrong = co_await sign_in(made.account.email, "not-the-password");
    EXPECT_TRUE(wrong.has_error());

    auto right = co_await sign_in(made.account.email, password);

    EXPECT_TRUE(right.has_value());
    EXPECT_EQ(query_one("SELECT failed_count::text FROM accounts WHERE email = '" + made.account.email + "'"),
              "0");
  });
}

TEST_P(account_test, a_ban_is_told_only_after_the_right_password) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    run_sql("UPDATE accounts SET banned_until = now() + interval '1 day' WHERE email = '" +
            made.account.email + "'");

    auto wrong = co_await sign_in(made.account.email, "not-the-password");
    auto right = co_await sign_in(made.account.email, password);

    EXPECT_TRUE(wrong.has_error() && wrong.error().code == errc::invalid_credentials);
    EXPECT_TRUE(right.has_error() && right.error().code == errc::account_banned);
  });
}

TEST_P(account_test, a_weaker_hash_is_upgraded_at_the_next_sign_in_and_a_good_one_is_left_alone) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const std::string where = " WHERE email = '" + made.account.email + "'";
    pam::crypto::hash_pool_config weaker;
    weaker.cost.memory_kib = 1024;
    weaker.cost.passes = 1;
    pam::crypto::hash_pool pool{weaker};
    auto weak_hash = co_await pool.hash(secret{password}, soon());
    EXPECT_TRUE(weak_hash.has_value());
    run_sql("UPDATE accounts SET hashed_password = '" + *weak_hash + "'" + where);

    EXPECT_TRUE((co_await sign_in(made.account.email, password)).has_value());
    const std::string upgraded = query_one("SELECT hashed_password FROM accounts" + where);
    EXPECT_TRUE((co_await sign_in(made.account.email, password)).has_value());

    EXPECT_NE(upgraded, *weak_hash);
    EXPECT_EQ(query_one("SELECT hashed_password FROM accounts" + where), upgraded);
    pool.close();
  });
}

TEST_P(account_test, a_new_password_ends_the_other_sessions_and_keeps_this_one) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    auto other = co_await sign_in(made.account.email, password);
    EXPECT_TRUE(other.has_value());
    pam::auth::update_command change;
    change.password.emplace(std::string_view{"another-long-passphrase"});
    const pam::auth::session_key who{made.account.id, made.refresh_token.session};

    auto updated = co_await accounts().update(who, std::move(change), soon());

    EXPECT_TRUE(updated.has_value());
    EXPECT_TRUE((co_await refresh(made.refresh_token)).has_value());
    EXPECT_TRUE((co_await refresh(other->grant.refresh_token)).has_error());
    EXPECT_TRUE((co_await sign_in(made.account.email, password)).has_error());
    EXPECT_TRUE((co_await sign_in(made.account.email, "another-long-passphrase")).has_value());
  });
}

TEST_P(account_test, the_same_password_is_no_change) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    pam::auth::update_command change;
    change.password.emplace(std::string_view{password});

    auto updated =
        co_await accounts().update({made.account.id, made.refresh_token.session}, std::move(change), soon());

    EXPECT_TRUE(updated.has_error() && updated.error().code == errc::same_password);
  });
}

TEST_P(account_test, metadata_merges_at_the_top_level_and_null_deletes) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    pam::auth::update_command change;
    change.metadata_set = R"({"city":"Pau","tags":["a"]})";
    change.metadata_removed = {"name", "with \"quotes\" and \\ and ,{}"};

    auto updated =
        co_await accounts().update({made.account.id, made.refresh_token.session}, std::move(change), soon());

    EXPECT_TRUE(updated.has_value());
    if (updated.has_value()) EXPECT_EQ(updated->metadata, R"({"city": "Pau", "tags": ["a"]})");
  });
}

TEST_P(account_test, metadata_over_the_limit_is_refused_and_nothing_changes) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    pam::auth::update_command change;
    change.metadata_set = R"({"big":")" + std::string(17'000, 'x') + R"("})";

    auto updated =
        co_await accounts().update({made.account.id, made.refresh_token.session}, std::move(change), soon());

    EXPECT_TRUE(updated.has_error() && updated.error().code == errc::metadata_too_large);
    auto found = co_await accounts().find(made.account.id, soon());
    EXPECT_TRUE(found.has_value() && found->metadata == R"({"name": "Ada"})");
  });
}

}  // namespace
