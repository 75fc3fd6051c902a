#include <optional>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "async/tuple_await.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;
using pam::auth::errc;
using pam::auth::grant;
using pam::auth::session_policy;
using pam::auth::sign_out_scope;
using pam::crypto::image_of;
using pam::crypto::key_ring;
using pam::crypto::refresh_token;

class refresh_test : public pam::tests::domain_test {
 protected:
  static std::string where(const refresh_token& token) {
    return " WHERE id = '" + boost::uuids::to_string(token.session) + "'";
  }
  std::string column(const refresh_token& token, const std::string& name) {
    return query_one("SELECT " + name + "::text FROM sessions" + where(token));
  }
  void age(const refresh_token& token, const std::string& interval) {
    run_sql("UPDATE sessions SET refreshed_at = refreshed_at - interval '" + interval + "'" + where(token));
  }
  awaitable<void> expect_failure(refresh_token token, errc expected) {
    auto answer = co_await refresh(token);
    EXPECT_TRUE(answer.has_error());
    if (answer.has_error()) EXPECT_EQ(static_cast<int>(answer.error().code), static_cast<int>(expected));
  }
  /// Refreshes once and returns the successor.
  awaitable<refresh_token> step(refresh_token token) {
    auto answer = co_await refresh(token);
    EXPECT_TRUE(answer.has_value());
    if (answer.has_error()) co_return token;
    co_return answer->refresh_token;
  }
};

INSTANTIATE_TEST_SUITE_P(routes, refresh_test, testing::ValuesIn(pam::tests::every_route),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(refresh_test, rotates_and_returns_the_account) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();

    auto second = co_await refresh(first.refresh_token);

    EXPECT_TRUE(second.has_value());
    if (second.has_error()) co_return;
    EXPECT_EQ(second->refresh_token.generation, 1U);
    EXPECT_NE(image_of(second->refresh_token), image_of(first.refresh_token));
    EXPECT_EQ(second->account.id, first.account.id);
    EXPECT_EQ(second->account.email, first.account.email);
    EXPECT_EQ(second->account.identities.size(), 1U);
    EXPECT_EQ(second->session.id, first.refresh_token.session);
    EXPECT_EQ(second->session.ip, "192.0.2.7");
    EXPECT_EQ(column(first.refresh_token, "generation"), "1");
  });
}

TEST_P(refresh_test, fifty_concurrent_uses_give_one_rotation_and_the_identical_successor) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    std::vector<pam::crypto::refresh_token_image> successors;
    std::size_t pending = 50;
    boost::asio::steady_timer done{context_, boost::asio::steady_timer::time_point::max()};
    for (int i = 0; i < 50; ++i) {
      boost::asio::co_spawn(context_, refresh(first.refresh_token), [&](std::exception_ptr, auto answer) {
        if (answer.has_value()) successors.push_back(image_of(answer->refresh_token));
        if (--pending == 0) done.cancel();
      });
    }
    co_await done.async_wait(pam::async::tuple_await);

    EXPECT_EQ(successors.size(), 50U);
    for (const auto& each : successors) EXPECT_EQ(each, successors.front());
    EXPECT_EQ(column(first.refresh_token, "generation"), "1");
    EXPECT_EQ(sessions().stats().rotated.load(), 1U);
    EXPECT_EQ(sessions().stats().repeated.load(), 49U);
  });
}

// What several sessions at once are answered, and one that was ended while they waited for its row.
TEST_P(refresh_test, refreshes_that_travel_together_are_each_judged_for_themselves) {
  run([this]() -> awaitable<void> {
    std::vector<grant> users;
    for (int i = 0; i < 12; ++i) users.push_back(co_await new_account());
    const refresh_token lost = users[2].refresh_token;
    const refresh_token successor = co_await step(lost);
    const refresh_token old = users[3].refresh_token;
    for (int i = 0; i < 3; ++i) users[3].refresh_token = co_await step(users[3].refresh_token);
    run_sql("UPDATE sessions SET expires_at = now() - interval '1 second'" + where(users[4].refresh_token));
    const auto by = [&](const grant& user) { return boost::uuids::to_string(user.account.id); };
    run_sql("UPDATE accounts SET banned_until = now() + interval '1 hour' WHERE id = '" + by(users[5]) + "'");
    run_sql("UPDATE accounts SET tokens_valid_after = now() WHERE id = '" + by(users[6]) + "'");
    auto stranger = open_admin();
    EXPECT_TRUE(stranger.run("BEGIN; UPDATE sessions SET revoked_at = now()" + where(users[7].refresh_token))
                    .has_value());
    std::vector<std::optional<pam::auth::result<grant>>> answers(users.size());
    std::size_t pending = users.size();
    boost::asio::steady_timer done{context_, boost::asio::steady_timer::time_point::max()};
    const auto together = database().stats().statements_together;

    for (std::size_t i = 0; i < users.size(); ++i) {
      const refresh_token& token = i == 3 ? old : users[i].refresh_token;
      boost::asio::co_spawn(context_, refresh(token), [&, i](std::exception_ptr, auto answer) {
        answers[i].emplace(std::move(answer));
        if (--pending == 0) done.cancel();
      });
    }
    boost::asio::steady_timer pause{context_};
    for (bool is_waiting = false; !is_waiting && pending != 0;) {
      pause.expires_after(1ms);
      co_await pause.async_wait(pam::async::tuple_await);
      is_waiting = query_one("SELECT count(*) FROM pg_locks WHERE NOT granted") != "0";
    }
    EXPECT_TRUE(stranger.run("COMMIT").has_value());
    while (pending != 0) {
      pause.expires_after(1ms);
      co_await pause.async_wait(pam::async::tuple_await);
    }

    EXPECT_GE(database().stats().statements_together - together, users.size());
    const auto code = [&](std::size_t i) {
      return answers[i]->has_error() ? std::optional{answers[i]->error().code} : std::nullopt;
    };
    EXPECT_EQ(code(3), errc::refresh_token_reused);
    EXPECT_EQ(code(4), errc::session_expired);
    EXPECT_EQ(code(5), errc::account_banned);
    EXPECT_EQ(code(6), errc::session_not_found);
    EXPECT_EQ(code(7), errc::session_not_found);
    for (const std::size_t i : {0U, 1U, 2U, 8U, 9U, 10U, 11U}) {
      EXPECT_EQ(code(i), std::nullopt) << i;
      if (code(i)) continue;
      const grant& got = answers[i]->value();
      EXPECT_EQ(got.account.id, users[i].account.id);
      EXPECT_EQ(got.account.email, users[i].account.email);
      EXPECT_EQ(got.account.identities.size(), 1U);
      EXPECT_EQ(got.session.id, users[i].refresh_token.session);
      EXPECT_EQ(column(users[i].refresh_token, "generation"), "1");
    }
    EXPECT_EQ(image_of(answers[2]->value().refresh_token), image_of(successor));
    EXPECT_EQ(column(users[7].refresh_token, "generation"), "0");
  });
}

TEST_P(refresh_test, a_flipped_bit_never_reaches_the_database) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const auto before = database().stats().statements_sent;
    auto image = image_of(first.refresh_token);
    // Bytes 1 to 3 name the key; flipping those asks for a key we do not hold, which is refused as well.
    for (std::size_t byte = 1; byte < image.size(); ++byte) {
      for (int bit = 0; bit < 8; ++bit) {
        auto forged = image;
        forged[byte] ^= static_cast<std::byte>(1 << bit);
        co_await expect_failure(pam::crypto::parse(forged), errc::refresh_token_not_found);
      }
    }

    EXPECT_EQ(database().stats().statements_sent, before);
    EXPECT_EQ(sessions().stats().not_genuine.load(), 71U * 8U);
  });
}

TEST_P(refresh_test, an_older_token_ends_the_session) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    refresh_token current = first.refresh_token;
    for (int i = 0; i < 3; ++i) current = co_await step(current);

    co_await expect_failure(first.refresh_token, errc::refresh_token_reused);

    EXPECT_EQ(column(current, "revoke_reason"), "2");
    co_await expect_failure(current, errc::session_not_found);
  });
}

TEST_P(refresh_test, a_lost_response_is_repaired_three_times_and_then_is_theft) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const refresh_token successor = co_await step(first.refresh_token);
    age(successor, "60 seconds");

    for (int i = 0; i < 3; ++i) {
      const refresh_token again = co_await step(first.refresh_token);
      EXPECT_EQ(image_of(again), image_of(successor));
    }
    EXPECT_EQ(column(successor, "repeats"), "3");
    co_await expect_failure(first.refresh_token, errc::refresh_token_reused);
  });
}

TEST_P(refresh_test, the_successor_of_a_repeated_answer_rotates_normally) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const refresh_token lost = co_await step(first.refresh_token);
    const refresh_token repeated = co_await step(first.refresh_token);

    const refresh_token next = co_await step(repeated);

    EXPECT_EQ(image_of(repeated), image_of(lost));
    EXPECT_EQ(next.generation, 2U);
    EXPECT_EQ(column(next, "repeats"), "0");
  });
}

TEST_P(refresh_test, a_parent_after_the_window_is_theft) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const refresh_token successor = co_await step(first.refresh_token);
    age(successor, "301 seconds");

    co_await expect_failure(first.refresh_token, errc::refresh_token_reused);
  });
}

TEST_P(refresh_test, strict_takes_the_parent_for_theft_at_once) {
  session_policy strict;
  strict.reuse_interval = 0s;
  strict.lost_response_window = 0s;
  use(strict);
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const refresh_token successor = co_await step(first.refresh_token);

    co_await expect_failure(first.refresh_token, errc::refresh_token_reused);
    co_await expect_failure(successor, errc::session_not_found);
  });
}

TEST_P(refresh_test, a_token_forged_with_the_key_alone_writes_nothing_and_raises_the_alarm) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const refresh_token current = co_await step(first.refresh_token);
    // The thief has the refresh key and the ids, but not the session's salt.
    refresh_token own_salt = current;
    own_salt.salt.fill(std::byte{0x42});
    const std::string row_before = query_one("SELECT sessions::text FROM sessions" + where(current));

    for (std::uint32_t generation : {0U, 1U, 2U, 7U}) {
      const refresh_token forged = keys().derive(own_salt, generation);
      co_await expect_failure(forged, errc::refresh_token_not_found);
    }

    EXPECT_EQ(query_one("SELECT sessions::text FROM sessions" + where(current)), row_before);
    EXPECT_EQ(sessions().stats().unproven_salt.load(), 4U);
    EXPECT_EQ((co_await step(current)).generation, 2U);
  });
}

TEST_P(refresh_test, a_token_ahead_of_a_restored_row_is_believed) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    const std::string old_hash = column(first.refresh_token, "refresh_token");
    refresh_token current = first.refresh_token;
    for (int i = 0; i < 3; ++i) current = co_await step(current);
    run_sql("UPDATE sessions SET generation = 0, refresh_token = '" + old_hash + "'" + where(current));

    const refresh_token next = co_await step(current);

    EXPECT_EQ(next.generation, 4U);
    EXPECT_EQ(column(current, "generation"), "4");
    EXPECT_EQ(sessions().stats().resynced.load(), 1U);
  });
}

TEST_P(refresh_test, the_idle_end_is_kept_and_moves_with_each_refresh) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    run_sql("UPDATE sessions SET expires_at = now() + interval '1 hour'" + where(first.refresh_token));
    const refresh_token next = co_await step(first.refresh_token);
    EXPECT_EQ(query_one("SELECT (expires_at > now() + interval '29 days')::text FROM sessions" + where(next)),
              "true");

    run_sql("UPDATE sessions SET expires_at = now() - interval '1 second'" + where(next));
    co_await expect_failure(next, errc::session_expired);
  });
}

TEST_P(refresh_test, the_absolute_end_is_never_moved) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    run_sql(
        "UPDATE sessions SET expires_at = now() + interval '1 hour', absolute_expires_at = now() + interval "
        "'1 hour'" +
        where(first.refresh_token));
    const refresh_token next = co_await step(first.refresh_token);

    EXPECT_EQ(query_one("SELECT (expires_at = absolute_expires_at)::text FROM sessions" + where(next)),
              "true");
  });
}

TEST_P(refresh_test, a_banned_and_a_deleted_account_cannot_refresh) {
  run([this]() -> awaitable<void> {
    const grant banned = co_await new_account();
    const grant deleted = co_await new_account();
    run_sql("UPDATE accounts SET banned_until = now() + interval '1 day' WHERE email = '" +
            banned.account.email + "'");
    run_sql("UPDATE accounts SET deleted_at = now() WHERE email = '" + deleted.account.email + "'");

    co_await expect_failure(banned.refresh_token, errc::account_banned);
    co_await expect_failure(deleted.refresh_token, errc::session_not_found);
  });
}

TEST_P(refresh_test, nothing_works_after_sign_out) {
  run([this]() -> awaitable<void> {
    for (const sign_out_scope scope : {sign_out_scope::local, sign_out_scope::global}) {
      const grant first = co_await new_account();
      const pam::auth::bearer who{{first.account.id, first.refresh_token.session}, 4'000'000'000};
      EXPECT_TRUE((co_await sessions().check(who, soon())).has_value());

      EXPECT_TRUE((co_await sessions().sign_out(who, scope, soon())).has_value());

      co_await expect_failure(first.refresh_token, errc::session_not_found);
      auto checked = co_await sessions().check(who, soon());
      EXPECT_TRUE(checked.has_error());
      if (checked.has_error()) EXPECT_EQ(checked.error().code, errc::session_not_found);
    }
  });
}

TEST_P(refresh_test, a_rotation_is_one_hot_update_of_one_partition) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    refresh_token current = first.refresh_token;
    for (int i = 0; i < 20; ++i) current = co_await step(current);

    EXPECT_EQ(column(current, "generation"), "20");
  });
  // Statistics of the server's own backends arrive when they are idle; the connections end first.
  run([this]() -> awaitable<void> { co_await database().close(soon()); });
  EXPECT_EQ(query_one("SELECT count(*)::text FROM pg_stat_user_tables WHERE relname LIKE 'sessions_2%' AND "
                      "n_tup_upd > n_tup_hot_upd + 5"),
            "0");
}

}  // namespace
