// Guessing at an account: what is counted, what a stranger and a known device may do, and that nothing of it
// tells a stranger whether the account exists.
#include <boost/uuid/string_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "server/auth/known_devices.hpp"
#include "server/crypto/key_set.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using boost::asio::awaitable;
using pam::auth::errc;
using pam::auth::grant;
using pam::crypto::secret;

constexpr const char* password = "a-long-and-rare-passphrase";
constexpr const char* wrong = "not-the-password-at-all";

using outcome = pam::auth::result<pam::auth::sign_in_outcome>;

class limits_test : public pam::tests::domain_test {
 protected:
  awaitable<outcome> sign_in(std::string email, std::string_view with, std::string device = {}) {
    pam::auth::sign_in_command command;
    command.email = std::move(email);
    command.password = secret{with};
    command.amr = "[]";
    command.device = std::move(device);
    return accounts().sign_in(std::move(command), soon());
  }
  awaitable<std::optional<errc>> refusal_of(std::string email, std::string_view with,
                                            std::string device = {}) {
    auto answer = co_await sign_in(std::move(email), with, std::move(device));
    std::optional<errc> refusal;
    if (answer.has_error()) refusal = answer.error().code;
    co_return refusal;
  }
  void change(const std::string& email, const std::string& assignment) {
    run_sql("UPDATE accounts SET " + assignment + " WHERE email = '" + email + "'");
  }
  std::string column(const std::string& email, const std::string& name) {
    return query_one("SELECT " + name + "::text FROM accounts WHERE email = '" + email + "'");
  }
  /// An account whose attempts are used up for strangers.
  awaitable<std::string> exhausted_account() {
    const grant made = co_await new_account();
    change(made.account.email, "failed_count = 100, failed_since = clock_timestamp() - interval '1 hour'");
    co_return made.account.email;
  }
};

INSTANTIATE_TEST_SUITE_P(routes, limits_test,
                         testing::Values(pam::tests::route::direct, pam::tests::route::pooled),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(limits_test, after_five_failures_not_even_the_right_password_counts_until_the_delay_is_over) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const std::string email = made.account.email;
    for (int i = 0; i < 5; ++i) EXPECT_EQ(co_await refusal_of(email, wrong), errc::invalid_credentials);
    // Whatever time the five took: the delay begins now.
    change(email, "failed_since = clock_timestamp() + interval '1 minute'");

    EXPECT_EQ(co_await refusal_of(email, password), errc::invalid_credentials);
    EXPECT_EQ(column(email, "failed_count"), "5") << "an attempt that was not judged is not counted";
    EXPECT_EQ(accounts().stats().unjudged.load(), 1U);
    change(email, "failed_since = clock_timestamp() - interval '1 minute'");

    EXPECT_EQ(co_await refusal_of(email, password), std::nullopt);
    EXPECT_EQ(column(email, "failed_count"), "0");
    EXPECT_EQ(column(email, "failed_since"), "NULL");
  });
}

TEST_P(limits_test, the_first_failure_of_a_series_sets_its_beginning_and_the_others_keep_it) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    EXPECT_EQ(co_await refusal_of(made.account.email, wrong), errc::invalid_credentials);
    const std::string since = column(made.account.email, "failed_since");
    EXPECT_EQ(co_await refusal_of(made.account.email, wrong), errc::invalid_credentials);

    EXPECT_EQ(column(made.account.email, "failed_since"), since);
    EXPECT_EQ(column(made.account.email, "failed_count"), "2");
  });
}

TEST_P(limits_test, a_day_later_the_count_begins_anew) {
  run([this]() -> awaitable<void> {
    const std::string email = co_await exhausted_account();
    change(email, "failed_since = clock_timestamp() - interval '25 hours'");

    EXPECT_EQ(co_await refusal_of(email, wrong), errc::invalid_credentials);

    EXPECT_EQ(column(email, "failed_count"), "1");
    EXPECT_EQ(co_await refusal_of(email, password), std::nullopt);
  });
}

TEST_P(limits_test, a_stranger_who_used_up_the_attempts_cannot_keep_out_a_known_device) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const std::string email = made.account.email;
    auto first = co_await sign_in(email, password);
    EXPECT_TRUE(first.has_value() && !first->new_device.empty());
    change(email, "failed_count = 100, failed_since = clock_timestamp() - interval '1 hour'");

    EXPECT_EQ(co_await refusal_of(email, password), errc::invalid_credentials);
    auto known = co_await sign_in(email, password, first->new_device);

    EXPECT_TRUE(known.has_value());
    if (known.has_value()) EXPECT_EQ(known->new_device, "") << "it has one already";
    EXPECT_EQ(accounts().stats().known_devices.load(), 1U);
    EXPECT_EQ(column(email, "failed_count"), "0");
  });
}

TEST_P(limits_test, a_device_of_another_account_or_a_forged_one_is_a_stranger) {
  run([this]() -> awaitable<void> {
    const std::string email = co_await exhausted_account();
    const grant other = co_await new_account();
    const std::string foreign = pam::auth::new_device_text(keys(), other.account.id);
    std::string forged = foreign;
    forged.back() = forged.back() == '0' ? '1' : '0';

    for (const std::string& device : {foreign, forged, std::string{"pamd1_"}, std::string(500, 'x')}) {
      EXPECT_EQ(co_await refusal_of(email, password, device), errc::invalid_credentials) << device;
    }
  });
}

TEST_P(limits_test, a_known_device_has_a_budget_of_its_own_and_no_more) {
  run([this]() -> awaitable<void> {
    const std::string email = co_await exhausted_account();
    const std::string id = column(email, "id");
    const std::string device = pam::auth::new_device_text(keys(), boost::uuids::string_generator{}(id));

    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(co_await refusal_of(email, wrong, device), errc::invalid_credentials);

    EXPECT_EQ(co_await refusal_of(email, password, device), errc::invalid_credentials);
    EXPECT_EQ(column(email, "failed_count"), "110");
  });
}

TEST_P(limits_test, a_device_survives_a_rotation_of_the_refresh_key) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    auto first = co_await sign_in(made.account.email, password);
    EXPECT_TRUE(first.has_value());
    auto keys_of_file = pam::crypto::key_set::parse(key_text());
    pam::crypto::rotation long_ago;
    long_ago.now =
        std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) - std::chrono::hours{1};
    EXPECT_TRUE(keys_of_file->rotate(long_ago).has_value());
    const auto after = pam::crypto::key_ring::parse(keys_of_file->text().view());

    EXPECT_TRUE(after.has_value() && pam::auth::recognise(*after, first->new_device).has_value());
    EXPECT_NE(after->first_refresh_token({}, {}).key_id, keys().first_refresh_token({}, {}).key_id);
  });
}

TEST_P(limits_test, attempts_at_one_subject_are_bounded_at_once_whether_it_exists_or_not) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    for (const std::string& email : {made.account.email, std::string{"nobody.at.all@example.com"}}) {
      pam::auth::account_policy slow;
      slow.subject_attempts = {.burst = 3, .interval = std::chrono::hours{1}};
      use(slow);
      for (int i = 0; i < 3; ++i)
        EXPECT_EQ(co_await refusal_of(email, wrong), errc::invalid_credentials) << email;
      const auto statements = database().stats().statements_sent;

      auto refused = co_await sign_in(email, wrong);

      EXPECT_TRUE(refused.has_error() && refused.error().code == errc::rate_limited) << email;
      if (refused.has_error()) EXPECT_EQ(refused.error().retry_after, std::chrono::hours{1});
      EXPECT_EQ(database().stats().statements_sent, statements) << "nothing was read";
    }
  });
}

// One answer and one number of statements and commits for every reason to refuse a stranger.
TEST_P(limits_test, every_refusal_of_a_stranger_costs_the_same_statements_and_commits) {
  run([this]() -> awaitable<void> {
    const std::string exhausted = co_await exhausted_account();
    const grant plain = co_await new_account();
    const grant banned = co_await new_account();
    const grant deleted = co_await new_account();
    const grant without = co_await new_account();
    const grant bcrypt = co_await new_account();
    const grant broken = co_await new_account();
    const grant unconfirmed = co_await new_account();
    change(banned.account.email, "banned_until = clock_timestamp() + interval '1 day'");
    change(deleted.account.email, "deleted_at = clock_timestamp()");
    change(without.account.email, "hashed_password = NULL");
    change(bcrypt.account.email,
           "hashed_password = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'");
    change(broken.account.email, "hashed_password = '$9$nobody-knows'");
    change(unconfirmed.account.email, "email_confirmed_at = NULL");
    struct row {
      std::string email;
      std::string_view with;
    };
    const std::vector<row> rows{{plain.account.email, wrong},
                                {"nobody@example.com", wrong},
                                {"no address", wrong},
                                {"", wrong},
                                {banned.account.email, wrong},
                                {deleted.account.email, password},
                                {deleted.account.email, wrong},
                                {without.account.email, password},
                                {bcrypt.account.email, wrong},
                                {broken.account.email, password},
                                {unconfirmed.account.email, wrong},
                                {exhausted, password}};
    for (const row& each : rows) {
      const auto before = database().stats();

      EXPECT_EQ(co_await refusal_of(each.email, each.with), errc::invalid_credentials) << each.email;

      const auto after = database().stats();
      EXPECT_EQ(after.statements_sent - before.statements_sent, 4U) << each.email;
      EXPECT_EQ(after.batches - before.batches, 4U) << each.email;
    }
  });
}

TEST_P(limits_test, an_imported_bcrypt_hash_signs_in_once_and_is_argon2id_from_then_on) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    change(made.account.email,
           "hashed_password = '$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW'");

    EXPECT_EQ(co_await refusal_of(made.account.email, "U*U*"), errc::invalid_credentials);
    EXPECT_EQ(co_await refusal_of(made.account.email, "U*U"), std::nullopt);

    EXPECT_EQ(column(made.account.email, "hashed_password").substr(0, 10), "$argon2id$");
    EXPECT_EQ(co_await refusal_of(made.account.email, "U*U"), std::nullopt);
  });
}

TEST_P(limits_test, guessing_the_current_password_with_a_stolen_token_is_limited) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const pam::auth::session_key who{made.account.id, made.refresh_token.session};
    std::optional<errc> last;
    for (int i = 0; i < 11; ++i) {
      pam::auth::update_command guess;
      guess.password.emplace(std::string_view{"another-long-passphrase"});
      guess.current_password.emplace(std::string_view{wrong});
      auto answer = co_await accounts().update(who, std::move(guess), soon());
      EXPECT_TRUE(answer.has_error());
      if (answer.has_error()) last = answer.error().code;
      if (i < 10) EXPECT_EQ(last, errc::current_password_invalid);
    }

    EXPECT_EQ(last, errc::rate_limited);
  });
}

}  // namespace
