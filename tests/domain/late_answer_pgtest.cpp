// Answers that come after the request's deadline: what the client is told and what the tables hold must
// agree.
#include <functional>
#include <optional>
#include <string>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "async/tuple_await.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;
using pam::async::deadline;
using pam::auth::grant;
using pam::crypto::secret;

constexpr const char* password = "a-long-and-rare-passphrase";

/// The server holds every write of a session between receiving and answering it, until the test lets go.
class late_answer_test : public pam::tests::domain_test {
 protected:
  void SetUp() override {
    domain_test::SetUp();
    run_sql(
        "CREATE TABLE held (); GRANT SELECT ON held TO PUBLIC;"
        "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN "
        "WHILE EXISTS (SELECT FROM public.held) LOOP PERFORM pg_sleep(0.005); END LOOP; RETURN NEW; END';"
        "CREATE TRIGGER hold BEFORE INSERT OR UPDATE ON sessions FOR EACH ROW EXECUTE FUNCTION hold()");
  }
  void TearDown() override {
    let_go();
    domain_test::TearDown();
    run_sql("DROP TRIGGER hold ON sessions; DROP FUNCTION hold; DROP TABLE held");
  }

  void hold() { run_sql("INSERT INTO held DEFAULT VALUES"); }
  void let_go() { run_sql("DELETE FROM held"); }

  awaitable<void> rest(pam::async::deadline::time_point until) {
    boost::asio::steady_timer timer{context_, until};
    co_await timer.async_wait(pam::async::tuple_await);
  }

  /// What `asks` answers when the server lets go only after the deadline it was given.
  template <class Answer>
  awaitable<Answer> ask_late(std::function<awaitable<Answer>(deadline)> asks) {
    constexpr auto patience = 800ms;  // for whatever comes before the write
    hold();
    const deadline until = pam::async::within(patience);
    std::optional<Answer> answer;
    boost::asio::steady_timer done{context_, boost::asio::steady_timer::time_point::max()};
    boost::asio::co_spawn(context_, asks(until), [&](const std::exception_ptr& bug, Answer got) {
      EXPECT_FALSE(bug);
      answer.emplace(std::move(got));
      done.cancel();
    });
    while (!answer && !is_held()) co_await rest(pam::async::within(5ms));
    co_await rest(until.unmetered() + 20ms);
    EXPECT_FALSE(answer.has_value()) << "answered before anybody could know";
    if (lets_go_) let_go();
    if (!answer) co_await done.async_wait(pam::async::tuple_await);
    co_return std::move(*answer);
  }

  awaitable<pam::auth::result<pam::auth::sign_in_outcome>> sign_in(std::string email, deadline until) {
    pam::auth::sign_in_command command;
    command.email = std::move(email);
    command.password = secret{password};
    command.amr = "[]";
    return accounts().sign_in(std::move(command), until);
  }

  std::string sessions_of(const std::string& email) {
    return query_one(
        "SELECT count(*)::text FROM sessions s JOIN accounts a ON a.id = s.account_id WHERE a.email = '" +
        email + "'");
  }

  bool lets_go_ = true;  ///< false: the server's own statement_timeout ends it

 private:
  bool is_held() {
    return query_one(
               "SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() "
               "AND wait_event = 'PgSleep'") != "0";
  }
};

INSTANTIATE_TEST_SUITE_P(routes, late_answer_test, testing::ValuesIn(pam::tests::every_route),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(late_answer_test, a_sign_in_that_was_written_is_told_to_its_client) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    using answer = pam::auth::result<pam::auth::sign_in_outcome>;
    std::function<awaitable<answer>(deadline)> asks = [&](deadline until) {
      return sign_in(made.account.email, until);
    };

    const auto outcome = co_await ask_late<answer>(asks);

    EXPECT_TRUE(outcome.has_value());
    if (outcome.has_error()) co_return;
    const auto session = boost::uuids::to_string(outcome->grant.refresh_token.session);
    EXPECT_EQ(query_one("SELECT count(*)::text FROM sessions WHERE id = '" + session + "'"), "1");
    EXPECT_EQ(sessions_of(made.account.email), "2");
  });
}

TEST_P(late_answer_test, a_sign_in_that_the_server_gave_up_is_said_not_to_have_happened) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    lets_go_ = false;
    using answer = pam::auth::result<pam::auth::sign_in_outcome>;
    std::function<awaitable<answer>(deadline)> asks = [&](deadline until) {
      return sign_in(made.account.email, until);
    };

    const auto outcome = co_await ask_late<answer>(asks);

    EXPECT_TRUE(outcome.has_error());
    if (outcome.has_value()) co_return;
    EXPECT_FALSE(outcome.error().may_have_happened);
    EXPECT_EQ(sessions_of(made.account.email), "1");
  });
}

TEST_P(late_answer_test, a_sign_up_that_was_written_is_told_to_its_client) {
  run([this]() -> awaitable<void> {
    using answer = pam::auth::result<grant>;
    const std::string email = "late-" + to_string(GetParam()) + "@example.com";
    std::function<awaitable<answer>(deadline)> asks = [&](deadline until) {
      pam::auth::sign_up_command command;
      command.account = pam::auth::accounts::new_id();
      command.email = email;
      command.password = secret{password};
      command.documents = {"{}", "{}", "{}", "[]"};
      return accounts().sign_up(std::move(command), until);
    };

    const auto outcome = co_await ask_late<answer>(asks);

    EXPECT_TRUE(outcome.has_value());
    EXPECT_EQ(sessions_of(email), "1");
  });
}

TEST_P(late_answer_test, a_refresh_and_a_sign_out_that_were_written_are_told_to_their_clients) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    using refreshed = pam::auth::result<grant>;
    using ended = pam::auth::result<void>;
    std::function<awaitable<refreshed>(deadline)> refreshes = [&](deadline until) {
      return sessions().refresh(made.refresh_token, until);
    };
    std::function<awaitable<ended>(deadline)> ends = [&](deadline until) {
      const pam::auth::session_key who{made.account.id, made.refresh_token.session};
      return sessions().revoke(who, until);
    };

    const auto next = co_await ask_late<refreshed>(refreshes);
    const auto over = co_await ask_late<ended>(ends);

    EXPECT_TRUE(next.has_value());
    EXPECT_TRUE(over.has_value());
    EXPECT_EQ(query_one("SELECT generation || ' ' || (revoked_at IS NOT NULL) FROM sessions WHERE id = '" +
                        boost::uuids::to_string(made.refresh_token.session) + "'"),
              "1 true");
  });
}

}  // namespace
