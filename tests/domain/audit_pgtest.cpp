// The audit log, and the net beneath maintenance: what is written, what is left out, what is made in time.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/uuid/uuid_io.hpp>

#include <algorithm>
#include <set>

#include "async/tuple_await.hpp"
#include "server/auth/audit_repository.hpp"
#include "server/auth/report_repository.hpp"
#include "server/auth/upkeep_repository.hpp"
#include "tests/domain/domain_fixture.hpp"

namespace {

using boost::asio::awaitable;
using pam::auth::audit_event;
using pam::auth::audit_filter;
using pam::auth::audit_row;
using pam::auth::grant;
using namespace std::chrono_literals;

constexpr const char* password = "a-long-and-rare-passphrase";

class audit_test : public pam::tests::domain_test {
 protected:
  awaitable<void> sign_in(std::string email, std::string_view with) {
    pam::auth::sign_in_command command;
    command.email = std::move(email);
    command.password = pam::crypto::secret{with};
    command.amr = "[]";
    command.place.ip = "192.0.2.8";
    command.place.request_id = "01JD0000000000000000000000";
    auto answer = co_await accounts().sign_in(std::move(command), soon());
    static_cast<void>(answer);  // the tests look at what was written
  }
  std::string events_of(const pam::auth::uuid& account) {
    return query_one(
        "SELECT string_agg(kind || CASE WHEN success THEN '' ELSE '!' END, ' ' ORDER BY occurred_at, kind) "
        "FROM "
        "auth_events WHERE account_id = '" +
        boost::uuids::to_string(account) + "'");
  }
  pam::auth::audit_repository log() { return pam::auth::audit_repository{database()}; }
  static audit_filter everything() {
    audit_filter which;
    which.after = pam::auth::clock_now() - std::chrono::days{1};
    which.before = pam::auth::clock_now() + 1h;
    return which;
  }
  static audit_event event(const pam::auth::uuid& account, pam::auth::timestamp when, std::string kind) {
    audit_event what;
    what.account = account;
    what.occurred_at = when;
    what.kind = std::move(kind);
    return what;
  }
};

INSTANTIATE_TEST_SUITE_P(routes, audit_test,
                         testing::Values(pam::tests::route::direct, pam::tests::route::pooled),
                         [](const auto& row) { return to_string(row.param); });

TEST_P(audit_test, the_life_of_an_account_is_in_the_log) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    co_await sign_in(made.account.email, password);
    co_await sign_in(made.account.email, "a-wrong-passphrase");
    const pam::auth::bearer who{{made.account.id, made.refresh_token.session}, 4'000'000'000};
    pam::auth::update_command change;
    change.metadata_set = R"({"a":1})";
    EXPECT_TRUE((co_await accounts().update(who.key, std::move(change), soon())).has_value());
    pam::auth::update_command replace;
    replace.password = pam::crypto::secret{"another-rare-passphrase"};
    EXPECT_TRUE((co_await accounts().update(who.key, std::move(replace), soon())).has_value());
    EXPECT_TRUE((co_await sessions().sign_out(who, pam::auth::sign_out_scope::local, soon())).has_value());

    const std::string written = events_of(made.account.id);

    EXPECT_EQ(written,
              "sign_up sign_in sign_in_failed! account_changed password_changed sessions_ended sign_out");
    EXPECT_EQ(query_one("SELECT host(ip) || ' ' || request_id FROM auth_events WHERE kind = 'sign_in' AND "
                        "account_id = '" +
                        boost::uuids::to_string(made.account.id) + "'"),
              "192.0.2.8 01JD0000000000000000000000");
  });
}

TEST_P(audit_test, theft_and_a_repeated_answer_are_in_the_log_once_a_rotation) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    auto second = co_await refresh(first.refresh_token);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE((co_await refresh(first.refresh_token)).has_value());
    EXPECT_EQ(events_of(first.account.id), "sign_up refresh_repeated");

    auto third = co_await refresh(second->refresh_token);
    auto fourth = co_await refresh(third->refresh_token);
    EXPECT_TRUE((co_await refresh(first.refresh_token)).has_error());

    EXPECT_EQ(events_of(first.account.id), "sign_up refresh_repeated refresh_token_reused!");
  });
}

TEST_P(audit_test, a_rotation_writes_no_event) {
  run([this]() -> awaitable<void> {
    const grant first = co_await new_account();
    auto next = co_await refresh(first.refresh_token);

    EXPECT_TRUE(next.has_value());
    EXPECT_EQ(events_of(first.account.id), "sign_up");
  });
}

TEST_P(audit_test, guessing_writes_twenty_rows_a_minute_and_an_account) {
  run([this]() -> awaitable<void> {
    const grant made = co_await new_account();
    const auto now = pam::auth::clock_now();
    int written = 0;
    for (int i = 0; i < 30; ++i) {
      auto done =
          co_await log().record_failure(event(made.account.id, now + 1s * i, "sign_in_failed"), soon());
      if (done.has_value() && *done) ++written;
    }
    auto later = co_await log().record_failure(event(made.account.id, now + 61s, "sign_in_failed"), soon());

    EXPECT_EQ(written, 20);
    EXPECT_TRUE(later.has_value() && *later);
  });
}

TEST_P(audit_test, a_stranger_has_one_pseudonym_that_names_nobody) {
  run([this]() -> awaitable<void> {
    const std::string begin = query_one("SELECT clock_timestamp()");
    co_await sign_in("Nobody@example.com", "x");
    co_await sign_in("nobody@example.com", "y");
    co_await sign_in("somebody-else@example.com", "z");

    const std::string found = query_one(
        "SELECT count(*) || ' ' || count(DISTINCT account_id) FROM auth_events WHERE detail->>'subject' = "
        "'unknown' AND substr(account_id::text, 15, 1) = '8' AND occurred_at >= '" +
        begin + "'");

    EXPECT_EQ(found, "3 2");
    EXPECT_EQ(query_one("SELECT count(*) FROM auth_events WHERE auth_events::text LIKE '%nobody%'"), "0");
  });
}

TEST_P(audit_test, pages_show_every_event_once_newest_first) {
  run([this]() -> awaitable<void> {
    const pam::auth::uuid account = pam::auth::accounts::new_id();
    const auto now = pam::auth::clock_now();
    for (int i = 0; i < 25; ++i) {
      // Pairs of the same moment, spread over more than the first windows.
      auto done = co_await log().record(event(account, now - 20min * (i / 2), "test_page"), soon());
      EXPECT_TRUE(done.has_value());
    }
    for (const bool is_of_all : {false, true}) {
      audit_filter which = everything();
      which.kind = "test_page";
      which.limit = 4;
      std::set<std::string> seen;
      std::vector<audit_row> page;
      pam::auth::timestamp last = which.before;
      do {
        auto answer = is_of_all ? co_await log().of_all(which, soon())
                                : co_await log().of_account(account, which, soon());
        if (answer.has_error()) throw std::runtime_error(answer.error().detail);
        page = std::move(*answer);
        for (const audit_row& row : page) {
          EXPECT_LE(row.occurred_at, last);
          last = row.occurred_at;
          if (row.account == account) EXPECT_TRUE(seen.insert(boost::uuids::to_string(row.id)).second);
        }
        if (!page.empty()) which.position = {page.back().occurred_at, page.back().id};
      } while (!page.empty());

      EXPECT_EQ(seen.size(), 25U) << is_of_all;
    }
  });
}

TEST_P(audit_test, events_are_found_by_place) {
  run([this]() -> awaitable<void> {
    run_sql(
        "INSERT INTO auth_events (account_id, occurred_at, id, kind, success, geo) SELECT gen_random_uuid(), "
        "now() "
        "- interval '1 minute', uuid7(), 'place_' || n, true, point(n, 48) FROM generate_series(10, 20) n");
    const pam::auth::geo_box austria{.west = 12.5, .south = 46, .east = 16.5, .north = 49};

    auto inside = co_await log().within(austria, everything(), soon());
    audit_filter two = everything();
    two.limit = 2;
    auto close = co_await log().nearest(15.2, 48.1, two, soon());

    std::set<std::string> kinds;
    if (inside.has_error()) throw std::runtime_error(inside.error().detail);
    for (const auto& row : *inside) kinds.insert(row.kind);
    EXPECT_EQ(kinds, (std::set<std::string>{"place_13", "place_14", "place_15", "place_16"}));
    if (close.has_error()) throw std::runtime_error(close.error().detail);
    EXPECT_EQ(close->size(), 2U);
    EXPECT_EQ(close->front().kind, "place_15");
    run_sql("DELETE FROM auth_events WHERE kind LIKE 'place%'");
  });
}

TEST_P(audit_test, reports_are_read_in_pages) {
  run([this]() -> awaitable<void> {
    pam::auth::report_repository reports{database()};
    run_sql(
        "DELETE FROM auth_events WHERE kind LIKE 'page%'; INSERT INTO auth_events (account_id, occurred_at, "
        "id, kind, "
        "success) SELECT gen_random_uuid(), now(), uuid7(), 'page_' || n, true FROM generate_series(10, 14) "
        "n; "
        "REFRESH MATERIALIZED VIEW report_daily_events");
    std::string after;
    std::set<std::string> seen;
    std::size_t rows = 0;
    for (int page = 0; page < 100; ++page) {
      auto answer = co_await reports.page(pam::auth::report::daily_events, after, 2, soon());
      if (answer.has_error()) throw std::runtime_error(answer.error().detail);
      rows += answer->rows.size();
      seen.insert(answer->rows.begin(), answer->rows.end());
      if (!answer->next) break;
      after = *answer->next;
    }

    EXPECT_EQ(rows, seen.size());
    EXPECT_EQ(std::to_string(rows), query_one("SELECT count(*) FROM report_daily_events"));
    for (const auto which :
         {pam::auth::report::daily_sign_ups, pam::auth::report::daily_sessions, pam::auth::report::active})
      EXPECT_TRUE((co_await reports.page(which, "", 10, soon())).has_value());
    run_sql("DELETE FROM auth_events WHERE kind LIKE 'page%'");
  });
}

TEST_P(audit_test, accounts_are_found_by_what_their_metadata_contains) {
  run([this]() -> awaitable<void> {
    pam::auth::report_repository reports{database()};
    const grant made = co_await new_account();
    run_sql("UPDATE accounts SET metadata = '{\"team\": {\"id\": 7}}' WHERE id = '" +
            boost::uuids::to_string(made.account.id) + "'");

    auto found = co_await reports.find_by_metadata(R"({"team":{"id":7}})", {}, 10, soon());
    auto rest = co_await reports.find_by_metadata(R"({"team":{"id":7}})", made.account.id, 10, soon());

    if (found.has_error()) throw std::runtime_error(found.error().detail);
    EXPECT_EQ(std::ranges::count(*found, made.account.id), 1);
    EXPECT_TRUE(rest.has_value() && std::ranges::count(*rest, made.account.id) == 0);
    run_sql("UPDATE accounts SET metadata = '{}' WHERE id = '" + boost::uuids::to_string(made.account.id) +
            "'");
  });
}

TEST_P(audit_test, a_missing_partition_is_made_and_the_user_signs_up) {
  run([this]() -> awaitable<void> {
    for (const std::string table : {"sessions", "auth_events"})
      run_sql(
          "DO $$ DECLARE p regclass; BEGIN FOR p IN SELECT inhrelid FROM pg_inherits WHERE inhparent = '" +
          table + "'::regclass LOOP EXECUTE 'DROP TABLE ' || p; END LOOP; END $$");
    // Both at once: sign-ups that come together find it missing together.
    int made = 0;
    std::size_t pending = 8;
    boost::asio::steady_timer done{context_, boost::asio::steady_timer::time_point::max()};
    for (int i = 0; i < 8; ++i) {
      boost::asio::co_spawn(context_, new_account(), [&](const std::exception_ptr& failure, const grant&) {
        if (!failure) ++made;
        try {
          if (failure) std::rethrow_exception(failure);
        } catch (const std::exception& what) {
          ADD_FAILURE() << what.what();
        }
        if (--pending == 0) done.cancel();
      });
    }
    co_await done.async_wait(pam::async::tuple_await);

    EXPECT_EQ(made, 8);
    EXPECT_EQ(query_one("SELECT bool_and(has_current AND has_next) FROM partition_state()"), "t");
    run_sql(
        "SELECT make_partition(parent, (date_trunc(span, now() AT TIME ZONE 'UTC') + n * ('1 ' || "
        "span)::interval) AT TIME ZONE 'UTC') FROM partition_rules, generate_series(0, 3) n");
  });
}

TEST_P(audit_test, a_server_beats_and_says_goodbye) {
  run([this]() -> awaitable<void> {
    pam::auth::upkeep_repository upkeep{database()};
    pam::auth::instance self;
    self.started_at = pam::auth::clock_now();
    self.id = pam::auth::accounts::new_id();
    self.host = "auth-1";
    self.pid = 42;
    self.version = "1.2.3";
    self.schema_version = 19;
    const std::string row = " FROM app_instances WHERE id = '" + boost::uuids::to_string(self.id) + "'";

    EXPECT_TRUE((co_await upkeep.beat(self, self.started_at, soon())).has_value());
    EXPECT_TRUE((co_await upkeep.beat(self, self.started_at + 12s, soon())).has_value());
    EXPECT_EQ(
        query_one("SELECT extract(epoch FROM seen_at - started_at)::int || ' ' || (ended_at IS NULL)" + row),
        "12 true");
    EXPECT_TRUE((co_await upkeep.end(self.id, self.started_at + 20s, soon())).has_value());
    EXPECT_EQ(query_one("SELECT ended_at IS NOT NULL" + row), "t");
  });
}

TEST_P(audit_test, a_server_sees_what_stands_ready_and_what_maintenance_left) {
  run([this]() -> awaitable<void> {
    pam::auth::upkeep_repository upkeep{database()};
    run_sql(
        "INSERT INTO maintenance_steps VALUES ('round', now() - interval '90 seconds', 5, true) ON CONFLICT "
        "(step) DO UPDATE SET finished_at = excluded.finished_at");

    auto supplies = co_await upkeep.supplies(pam::auth::clock_now(), soon());
    auto steps = co_await upkeep.steps(pam::auth::clock_now(), soon());
    auto made = co_await upkeep.ensure_partitions(soon());

    if (supplies.has_error()) throw std::runtime_error(supplies.error().detail);
    EXPECT_EQ(supplies->size(), 5U);
    for (const auto& each : *supplies) EXPECT_TRUE(each.has_current && each.ahead >= 1) << each.table;
    if (steps.has_error()) throw std::runtime_error(steps.error().detail);
    EXPECT_EQ(steps->size(), 1U);
    EXPECT_GE(steps->front().age_seconds, 90);
    EXPECT_LT(steps->front().age_seconds, 120);
    EXPECT_EQ(made.has_value() ? *made : -1, 0);
  });
}

}  // namespace
