// The audit log leaves the database whole, in order, in pages that can be gone on from.
#include "server/cli/audit_export.hpp"

#include <memory>
#include <regex>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/cli/audit_command.hpp"
#include "server/cli/command.hpp"
#include "server/cli/migration_runner.hpp"
#include "server/cli/tests/temporary_folder.hpp"
#include "tests/support/test_database.hpp"

namespace pam::cli {
namespace {

using pam::cli::testing::temporary_folder;
using ::testing::AllOf;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr const char* ada = "00000000-0000-4000-8000-00000000000a";
constexpr const char* bob = "00000000-0000-4000-8000-00000000000b";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in{text};
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

/// A database with 1,000 events of three months: every fifth Bob's, every tenth a failure, 60 of one moment.
class audit_export : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    database_ = std::make_unique<tests::test_database>();
    auto owner = database_->open();
    const auto done = migrate_up(owner, {});
    ASSERT_TRUE(done.has_value()) << done.error().sentence;
    const auto filled = owner.run(
        std::string{
            "SELECT make_partition('auth_events', now() - make_interval(months => n)) FROM "
            "generate_series(1, 2) n; INSERT INTO auth_events (account_id, occurred_at, id, kind, success, "
            "geo, client_id, detail) SELECT (CASE WHEN n % 5 = 0 THEN '"} +
        bob + "' ELSE '" + ada +
        "' END)::uuid, w, uuid7(w), CASE WHEN n % 10 = 0 THEN 'sign_in_failed' ELSE 'sign_in' END, n % 10 <> "
        "0, "
        "'(16, 48)', gen_random_uuid(), jsonb_build_object('n', n, 'odd', E'a,\"b\"\\n') FROM "
        "generate_series(1, "
        "1000) n, LATERAL (SELECT now() - interval '5 minutes' - greatest(n - 60, 0) * interval '80 minutes' "
        "AS w) "
        "AS t; INSERT INTO accounts (id, email) VALUES ('" +
        bob + "', 'bob@example.com'); INSERT INTO claims VALUES ('email', 'bob@example.com', '" + bob +
        "', now()); ANALYZE auth_events");
    ASSERT_TRUE(filled.has_value()) << filled.error().detail;
  }
  static void TearDownTestSuite() { database_.reset(); }

  static export_request everything(int page) {
    export_request wanted;
    wanted.to = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
    wanted.from = wanted.to - std::chrono::days{61};
    wanted.page = page;
    return wanted;
  }
  /// The text of an export as pam_report; `pages` at most.
  static std::string text_of(const export_request& wanted, export_report& report, int pages = 1'000'000) {
    auto reader = database_->open("pam_report");
    std::string text;
    const auto sink = [&](std::string_view page) {
      text += page;
      return std::string{};
    };
    const auto done =
        export_audit(reader, {}, wanted, sink, [&](const auto&, const auto&) { return --pages > 0; }, report);
    EXPECT_TRUE(done.has_value()) << done.error().sentence;
    return text;
  }
  static std::string text_of(const export_request& wanted) {
    export_report report;
    return text_of(wanted, report);
  }
  static std::string value_of(const std::string& query) {
    auto owner = database_->open();
    const auto found = owner.query(query);
    if (found.has_error()) return "error: " + found.error().detail;
    std::string text;
    for (const auto& row : found->values) text += row[0].value_or("NULL") + "\n";
    return text;
  }
  static runtime::configuration settings() {
    runtime::configuration all;
    all.migrate.host = tests::service("PAM_TEST_PG_SOCKET_DIR");
    all.migrate.port = static_cast<std::uint16_t>(std::stoi(tests::service("PAM_TEST_PG_PORT")));
    all.migrate.database = database_->name();
    all.migrate.user = tests::service("PAM_TEST_PG_SUPERUSER");
    return all;
  }
  struct ran {
    int status = 0;
    std::string out;
    std::string err;
    std::string key;  ///< to go on at
  };
  static ran run(const audit_export_place& place, const export_request& wanted) {
    std::ostringstream out;
    std::ostringstream err;
    ran done;
    done.status = run_audit_export(settings(), place, wanted, out, err);
    done.out = out.str();
    done.err = err.str();
    std::smatch key;
    if (std::regex_search(done.err, key, std::regex{"--after (\\S+)"})) done.key = key[1];
    return done;
  }

  static inline std::unique_ptr<tests::test_database> database_;
};

TEST_F(audit_export, writes_every_event_once_oldest_first_whatever_the_size_of_a_page) {
  const std::string wanted = value_of("SELECT id FROM auth_events ORDER BY occurred_at, id, account_id");

  for (const int page : {7, 60, 10'000}) {
    std::string ids;
    for (const std::string& line : lines_of(text_of(everything(page)))) ids += line.substr(7, 36) + "\n";
    EXPECT_EQ(ids, wanted) << page;
  }
}

TEST_F(audit_export, goes_on_after_the_key_it_ended_with) {
  for (const export_format format : {export_format::jsonl, export_format::csv}) {
    export_request wanted = everything(30);
    wanted.format = format;
    const std::string whole = text_of(wanted);
    export_report first;
    std::string parts = text_of(wanted, first, 3);
    EXPECT_FALSE(first.is_complete);
    EXPECT_LE(first.events, 90);

    wanted.after = parse_export_position(to_string(*first.last));
    ASSERT_TRUE(wanted.after.has_value());
    export_report rest;
    parts += text_of(wanted, rest);

    EXPECT_EQ(parts, whole);
    EXPECT_TRUE(rest.is_complete);
    EXPECT_EQ(first.events + rest.events, 1'000);
  }
}

TEST_F(audit_export, shows_of_an_event_what_the_admin_route_shows_and_nothing_else) {
  const auto lines = lines_of(text_of(everything(100)));

  ASSERT_THAT(lines, SizeIs(1'000));
  EXPECT_THAT(lines[0],
              MatchesRegex(
                  R"(\{"id":"[0-9a-f-]{36}","account_id":"[0-9a-f-]{36}","occurred_at":"[0-9-]{10}T[0-9:]{8})"
                  R"(\.[0-9]{6}Z","kind":"sign_in_failed","success":false,"detail":\{"n": 1000, )"
                  R"("odd": "a,\\"b\\"\\n"\}\})"));
}

TEST_F(audit_export, csv_has_a_header_and_quotes_what_would_break_a_line) {
  export_request wanted = everything(100);
  wanted.format = export_format::csv;

  const auto lines = lines_of(text_of(wanted));

  ASSERT_THAT(lines, SizeIs(1'001));
  EXPECT_EQ(lines[0], "id,account_id,occurred_at,kind,success,session_id,ip,country,request_id,actor,detail");
  EXPECT_THAT(lines[1], MatchesRegex(R"([0-9a-f-]{36},[0-9a-f-]{36},[^,]+Z,sign_in_failed,false,,,,,,)"
                                     R"("\{""n"": 1000, ""odd"": ""a,\\""b\\""\\n""\}")"));
}

TEST_F(audit_export, takes_only_what_is_asked_for) {
  export_request wanted = everything(50);
  wanted.kind = "sign_in_failed";
  EXPECT_THAT(lines_of(text_of(wanted)), AllOf(SizeIs(100), Each(HasSubstr("sign_in_failed"))));
  wanted = everything(50);
  wanted.account = protocol::parse_uuid(bob);
  EXPECT_THAT(lines_of(text_of(wanted)), AllOf(SizeIs(200), Each(HasSubstr(bob))));
  wanted.success = true;
  EXPECT_THAT(lines_of(text_of(wanted)), AllOf(SizeIs(100), Each(HasSubstr("\"success\":true"))));
  wanted = everything(50);
  wanted.from = wanted.to - std::chrono::hours{1};
  EXPECT_THAT(lines_of(text_of(wanted)), SizeIs(60));
  wanted.to = wanted.from;
  EXPECT_THAT(text_of(wanted), IsEmpty());
}

// An export of a day reads that day's month, and an account's its index.
TEST_F(audit_export, page_touches_one_partition_and_an_accounts_page_only_its_index) {
  auto reader = database_->open("pam_report");
  const auto plan_of = [&](const export_request& wanted) {
    const export_query page = page_query(wanted);
    const auto rows = reader.query("EXPLAIN (COSTS OFF) " + page.sql, page.parameters);
    if (rows.has_error()) return "error: " + rows.error().detail;
    std::string text;
    for (const auto& row : rows->values) text += row[0].value_or("") + "\n";
    return text;
  };
  export_request wanted = everything(100);
  wanted.from =
      *parse_moment(value_of("SELECT to_char(date_trunc('month', now() AT TIME ZONE 'UTC') - interval "
                             "'1 month', 'YYYY-MM-DD')")
                        .substr(0, 10));
  wanted.to = wanted.from + std::chrono::days{1};
  const std::string others = value_of("SELECT partition_name('auth_events', 'month', now())");

  EXPECT_THAT(plan_of(wanted), AllOf(HasSubstr(" auth_events_"), Not(HasSubstr("Append")),
                                     Not(HasSubstr(others.substr(0, others.size() - 1)))));
  wanted = everything(100);
  wanted.account = protocol::parse_uuid(ada);
  ASSERT_TRUE(reader.run("SET enable_seqscan = off; SET enable_bitmapscan = off").has_value());
  EXPECT_THAT(plan_of(wanted), AllOf(HasSubstr("Index"), Not(HasSubstr("Sort  "))));
}

TEST_F(audit_export, that_cannot_go_on_says_why_and_where_it_stood) {
  auto reader = database_->open("pam_report");
  const int pid = reader.backend_pid();
  std::string text;
  export_report report;

  const auto done = export_audit(
      reader, {}, everything(20),
      [&](std::string_view page) {
        text += page;
        return std::string{};
      },
      [&](const auto&, const auto&) {
        auto owner = database_->open();
        EXPECT_TRUE(owner.run("SELECT pg_terminate_backend(" + std::to_string(pid) + ")").has_value());
        tests::wait_for(owner, "SELECT count(*) FROM pg_stat_activity WHERE pid = " + std::to_string(pid),
                        "0");
        return true;
      },
      report);

  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().sentence, StartsWith("The connection was lost"));
  ASSERT_TRUE(report.last.has_value());
  EXPECT_EQ(report.events, static_cast<std::int64_t>(lines_of(text).size()));
  EXPECT_THAT(lines_of(text).back(), HasSubstr(protocol::to_string(report.last->id)));
}

TEST_F(audit_export, goes_on_by_another_connection_when_one_is_lost) {
  auto reader = database_->open("pam_report");
  auto owner = database_->open();
  std::string text;
  export_report report;

  const auto done = export_audit(
      reader, [] { return db::admin_connection::connect(tests::direct(database_->name(), "pam_report")); },
      everything(200),
      [&](std::string_view page) {
        text += page;
        return std::string{};
      },
      [&](const auto&, const auto&) {
        EXPECT_TRUE(owner.run("SELECT pg_terminate_backend(" + std::to_string(reader.backend_pid()) + ")")
                        .has_value());
        return true;
      },
      report);

  ASSERT_TRUE(done.has_value()) << done.error().sentence;
  EXPECT_EQ(text, text_of(everything(200)));
}

TEST_F(audit_export, statement_that_takes_too_long_is_asked_for_a_shorter_time) {
  auto owner = database_->open();
  // A row level policy that sleeps: everything else of the role's statement stays as it is.
  const auto slow = owner.run(
      "CREATE FUNCTION slow() RETURNS boolean LANGUAGE plpgsql VOLATILE AS 'BEGIN PERFORM pg_sleep(0.004); "
      "RETURN "
      "true; END'; GRANT EXECUTE ON FUNCTION slow() TO pam_report; ALTER TABLE auth_events ENABLE ROW LEVEL "
      "SECURITY; CREATE POLICY slow ON auth_events TO pam_report USING (slow())");
  ASSERT_TRUE(slow.has_value()) << slow.error().detail;
  export_request wanted = everything(10'000);
  wanted.statement_limit = std::chrono::seconds{1};

  const auto lines = lines_of(text_of(wanted));

  EXPECT_THAT(lines, SizeIs(1'000));
  ASSERT_TRUE(
      owner
          .run("DROP POLICY slow ON auth_events; ALTER TABLE auth_events DISABLE ROW LEVEL SECURITY; DROP "
               "FUNCTION slow()")
          .has_value());
}

TEST_F(audit_export, command_writes_a_private_file_never_replaces_it_and_goes_on_in_it) {
  const temporary_folder folder;
  audit_export_place place;
  place.role = "pam_report";
  place.output = folder.file("events.csv");
  export_request wanted = everything(100);
  wanted.format = export_format::csv;
  export_request half = wanted;
  half.to = wanted.to - std::chrono::days{20};

  const ran first = run(place, half);
  const ran again = run(place, half);
  wanted.after = parse_export_position(first.key);
  const ran rest = run(place, wanted);

  EXPECT_EQ(first.status, success) << first.err;
  EXPECT_EQ(again.status, failure);
  EXPECT_THAT(again.err, HasSubstr("exists and is not replaced"));
  EXPECT_EQ(rest.status, success) << rest.err;
  wanted.after.reset();
  EXPECT_EQ(folder.read("events.csv"), text_of(wanted));
  EXPECT_EQ(std::filesystem::status(place.output).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(audit_export, full_disk_leaves_whole_lines_and_a_key) {
  audit_export_place place;
  place.output = "/dev/full";
  export_request wanted = everything(100);
  wanted.after = export_position{};

  const ran done = run(place, wanted);

  EXPECT_EQ(done.status, failure);
  EXPECT_THAT(done.err, AllOf(HasSubstr("/dev/full could not be written: No space left on device"),
                              HasSubstr("exported 0 events; to go on: --after 1970-01-01T")));
}

TEST_F(audit_export, who_may_not_read_and_who_is_unknown_is_told_what_to_do) {
  audit_export_place place;
  place.role = "pam_monitor";
  EXPECT_THAT(run(place, everything(10)).err,
              StartsWith("This role may not read auth_events: sign in as pam_report or pam_owner (--role)."));
  place.role = "pam_report";
  place.holder = "nobody@example.com";
  EXPECT_THAT(run(place, everything(10)).err, StartsWith("No account is known by that address or number."));
  place.holder = "bob@example.com";
  EXPECT_THAT(lines_of(run(place, everything(10)).out), AllOf(SizeIs(200), Each(HasSubstr(bob))));
}

TEST_F(audit_export, pooler_is_refused_before_a_setting_could_leak_into_it) {
  audit_export_place place;
  place.port = static_cast<std::uint16_t>(std::stoi(tests::service("PAM_TEST_PGBOUNCER_PORT")));

  EXPECT_THAT(run(place, everything(10)).err, StartsWith("This connection goes through a pooler"));
}

TEST_F(audit_export, connection_can_write_nothing_afterwards) {
  auto owner = database_->open();
  export_report report;
  const auto done =
      export_audit(owner, {}, everything(1'000), [](std::string_view) { return std::string{}; }, {}, report);
  ASSERT_TRUE(done.has_value());

  const auto written = owner.run("DELETE FROM auth_events");

  ASSERT_TRUE(written.has_error());
  EXPECT_EQ(written.error().sqlstate, "25006");
}

TEST(audit_export_without_a_schema, says_to_migrate_first) {
  const tests::test_database database;
  auto connection = database.open();
  export_report report;

  const auto done = export_audit(connection, {}, {}, {}, {}, report);

  ASSERT_TRUE(done.has_error());
  EXPECT_THAT(done.error().sentence, HasSubstr("run `pam-auth migrate up` first"));
}

TEST(export_position, has_one_text) {
  const std::string text =
      "2026-11-26T13:00:00.123456Z_0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001_0190aaaa-bbbb-7ccc-8ddd-eeeeffff0002";
  const auto read = parse_export_position(text);

  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(to_string(*read), text);
  for (const std::string wrong :
       {"", "_", "__", "2026-11-26T13:00:00Z_x_y", "2026-11-26T13:00:00Z",
        "2026_0190aaaa-bbbb-7ccc-8ddd-eeeeffff0001_0190aaaa-bbbb-7ccc-8ddd-eeeeffff0002"})
    EXPECT_FALSE(parse_export_position(wrong).has_value()) << wrong;
}

TEST(moment, is_a_day_or_a_time) {
  EXPECT_EQ(protocol::to_rfc3339(*parse_moment("2026-11-26")), "2026-11-26T00:00:00.000000Z");
  EXPECT_EQ(protocol::to_rfc3339(*parse_moment("2026-11-26T13:00:00+01:00")), "2026-11-26T12:00:00.000000Z");
  for (const std::string wrong : {"", "yesterday", "2026-02-30", "26.11.2026", "2026-11-26 13:00"})
    EXPECT_FALSE(parse_moment(wrong).has_value()) << wrong;
}

}  // namespace
}  // namespace pam::cli
