#include "server/runtime/log.hpp"

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "server/runtime/log_line.hpp"
#include "server/runtime/utf8.hpp"

namespace pam::runtime {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

/// A log into a list of lines, at a time the test sets.
struct recorder {
  std::vector<std::string> lines;
  std::chrono::system_clock::time_point now =
      std::chrono::sys_days{std::chrono::year{2026} / 11 / 22} + 10h + 43min;

  logger open(log_level level = log_level::debug, std::size_t flood_limit = 3) {
    log_settings settings;
    settings.level = level;
    settings.flood_limit = flood_limit;
    settings.write = [this](std::string_view line) { lines.emplace_back(line); };
    settings.now = [this] { return now; };
    return *logger::open(std::move(settings));
  }
};

TEST(log, a_line_is_one_json_object_with_time_level_message_and_event) {
  recorder record;
  record.now += 123456us;
  auto log = record.open();

  log.info("request_done", {{"request_id", "r1"}, {"status", 200}, {"seconds", 0.25}, {"tls", true}});

  EXPECT_THAT(
      record.lines,
      ElementsAre("{\"time\":\"2026-11-22T10:43:00.123456Z\",\"level\":\"info\",\"msg\":\"request done\","
                  "\"event\":\"request_done\",\"request_id\":\"r1\",\"status\":200,\"seconds\":0.25,"
                  "\"tls\":true}\n"));
}

TEST(log, a_message_of_its_own_replaces_the_event_in_words) {
  recorder record;
  auto log = record.open();

  log.error("database_down", {}, "no primary answered");

  EXPECT_THAT(record.lines.at(0), HasSubstr("\"level\":\"error\",\"msg\":\"no primary answered\""));
}

TEST(log, texts_are_escaped) {
  recorder record;
  auto log = record.open();

  log.info("e", {{"text", std::string_view{"\"\\\n\r\t\0\x1b\x7f\xc2\x9b\xe2\x82\xac", 13}}});

  EXPECT_THAT(record.lines.at(0), HasSubstr(R"("text":"\"\\\n\r\t\u0000\u001b\u007f\u009b)"
                                            "\xe2\x82\xac\""));
}

TEST(log, invalid_utf_8_is_replaced) {
  recorder record;
  auto log = record.open();

  // A lone continuation, an overlong slash, a surrogate, a cut sequence.
  log.info("e", {{"text", "a\x80z\xc0\xaf\xed\xa0\x80\xe2\x82"}});

  EXPECT_TRUE(is_utf8(record.lines.at(0)));
  EXPECT_THAT(record.lines.at(0), HasSubstr("\"a\xef\xbf\xbdz\xef\xbf\xbd"));
}

TEST(log, numbers_keep_their_value) {
  recorder record;
  auto log = record.open();

  log.info("e", {{"low", std::numeric_limits<std::int64_t>::min()},
                 {"high", std::numeric_limits<std::uint64_t>::max()},
                 {"tiny", -1.7976931348623157e+308},
                 {"nan", std::nan("")},
                 {"no", false}});

  EXPECT_THAT(
      record.lines.at(0),
      HasSubstr(
          "\"low\":-9223372036854775808,\"high\":18446744073709551615,\"tiny\":-1.7976931348623157e+308,"
          "\"nan\":null,\"no\":false}"));
}

TEST(log, a_field_cannot_repeat_a_member_every_line_has) {
  recorder record;
  auto log = record.open();

  log.info("e", {{"level", "fake"}, {"time", 1}, {"a\"b", 2}});

  EXPECT_THAT(record.lines.at(0), EndsWith("\"field_level\":\"fake\",\"field_time\":1,\"a\\\"b\":2}\n"));
}

TEST(log, a_long_line_is_cut_and_says_so) {
  recorder record;
  auto log = record.open();
  const std::string one(20'000, 'x');
  const std::string escapes(20'000, '\x01');
  const std::string wide = [] {
    std::string text;
    for (int i = 0; i < 7'000; ++i) text += "\xe2\x82\xac";
    return text;
  }();

  log.info("e", {{"text", one}, {"late", 5}});
  log.info("e", {{"text", escapes}});
  log.info("e", {{"text", wide}}, wide);

  for (const std::string& line : record.lines) {
    EXPECT_LE(line.size(), log_line_limit);
    EXPECT_TRUE(is_utf8(line));
    EXPECT_THAT(line, EndsWith("\",\"truncated\":true}\n"));
  }
  EXPECT_GT(record.lines.at(0).size(), log_line_limit - 64);
}

TEST(log, thousands_of_fields_stay_within_the_bound) {
  log_line line{{}, log_level::info, "e", {}};

  for (int i = 0; i < 5'000; ++i) line.add("some_field_name", i);

  const std::string text = line.finish();
  EXPECT_LE(text.size(), log_line_limit);
  EXPECT_THAT(text, EndsWith(",\"truncated\":true}\n"));
}

TEST(log, levels_below_the_chosen_one_are_silent) {
  recorder record;
  auto log = record.open(log_level::warn);

  log.debug("d");
  log.info("i");
  log.warn("w");
  EXPECT_FALSE(log.is_enabled(log_level::info));
  log.set_level(log_level::debug);
  log.debug("d2");

  ASSERT_THAT(record.lines, SizeIs(2));
  EXPECT_THAT(record.lines[0], HasSubstr("\"event\":\"w\""));
  EXPECT_THAT(record.lines[1], HasSubstr("\"event\":\"d2\""));
}

TEST(log, level_names_round_trip) {
  for (const auto level : {log_level::debug, log_level::info, log_level::warn, log_level::error}) {
    EXPECT_EQ(parse_log_level(to_string(level)), level);
  }
  EXPECT_FALSE(parse_log_level("trace").has_value());
}

TEST(log, a_flood_of_one_event_is_counted_and_reported_with_its_next_line) {
  recorder record;
  auto log = record.open();

  for (int i = 0; i < 10; ++i) log.warn("pool_full");
  log.warn("other");
  ASSERT_THAT(record.lines, SizeIs(4));
  record.now += 1s;
  log.warn("pool_full", {{"n", 1}});

  ASSERT_THAT(record.lines, SizeIs(5));
  EXPECT_THAT(record.lines[4], EndsWith("\"event\":\"pool_full\",\"suppressed\":7,\"n\":1}\n"));
}

TEST(log, a_flood_that_ended_is_reported_without_another_line) {
  recorder record;
  auto log = record.open();
  for (int i = 0; i < 5; ++i) log.error("pool_full");

  log.report_suppressed();
  ASSERT_THAT(record.lines, SizeIs(3)) << "its second is not over";
  record.now += 1s;
  log.report_suppressed();
  log.report_suppressed();

  ASSERT_THAT(record.lines, SizeIs(4));
  EXPECT_THAT(record.lines[3],
              HasSubstr("\"event\":\"log_suppressed\",\"suppressed_event\":\"pool_full\",\"suppressed\":2"));
}

TEST(log, what_is_suppressed_at_the_end_is_reported_by_the_destructor) {
  recorder record;
  {
    auto log = record.open();
    for (int i = 0; i < 4; ++i) log.warn("pool_full");
  }

  ASSERT_THAT(record.lines, SizeIs(4));
  EXPECT_THAT(record.lines[3], HasSubstr("\"suppressed\":1"));
}

TEST(log, informative_lines_are_never_suppressed) {
  recorder record;
  auto log = record.open();

  for (int i = 0; i < 50; ++i) log.info("request_done");

  EXPECT_THAT(record.lines, SizeIs(50));
}

TEST(log, the_flood_limit_can_change_while_it_runs) {
  recorder record;
  auto log = record.open();

  log.set_flood_limit(5);
  for (int i = 0; i < 50; ++i) log.warn("pool_full");

  EXPECT_THAT(record.lines, SizeIs(5));
}

TEST(log, more_kinds_of_events_than_there_are_counters_share_one) {
  recorder record;
  auto log = record.open();

  for (int i = 0; i < 1'000; ++i) log.warn("event_" + std::to_string(i));

  EXPECT_THAT(record.lines, SizeIs(256 + 3));
}

TEST(log, many_threads_write_whole_lines) {
  recorder record;
  auto log = record.open();

  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&log, t] {
      for (int i = 0; i < 250; ++i) log.info("work", {{"thread", t}, {"i", i}});
      for (int i = 0; i < 50; ++i) log.warn("flood", {{"thread", t}});
    });
  }
  threads.clear();

  EXPECT_THAT(record.lines, SizeIs(1'000 + 3));
  for (const std::string& line : record.lines)
    EXPECT_THAT(line, AllOf(StartsWith("{\"time\""), EndsWith("}\n")));
}

class log_file : public testing::Test {
 protected:
  log_file() {
    std::string pattern = (std::filesystem::temp_directory_path() / "pam_log_XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~log_file() override { std::filesystem::remove_all(folder_); }

  static std::string content(const std::filesystem::path& file) {
    std::ifstream in{file};
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  logger open(const std::filesystem::path& file) {
    log_settings settings;
    settings.file = file.string();
    return *logger::open(std::move(settings));
  }

  std::filesystem::path folder_;
};

TEST_F(log_file, every_line_is_in_the_file_when_the_call_returns) {
  auto log = open(folder_ / "pam.log");

  log.info("first");

  EXPECT_THAT(content(folder_ / "pam.log"), AllOf(HasSubstr("\"event\":\"first\""), EndsWith("}\n")));
}

TEST_F(log_file, reopening_follows_the_name_after_a_rotation) {
  auto log = open(folder_ / "pam.log");
  log.info("first");
  std::filesystem::rename(folder_ / "pam.log", folder_ / "pam.log.1");
  log.info("second");

  ASSERT_TRUE(log.reopen().has_value());
  log.info("third");

  EXPECT_THAT(content(folder_ / "pam.log.1"),
              AllOf(HasSubstr("first"), HasSubstr("second"), Not(HasSubstr("third"))));
  EXPECT_THAT(content(folder_ / "pam.log"), AllOf(HasSubstr("third"), Not(HasSubstr("second"))));
}

TEST_F(log_file, an_existing_file_is_continued) {
  std::ofstream{folder_ / "pam.log"} << "old\n";

  open(folder_ / "pam.log").info("fresh");

  EXPECT_THAT(content(folder_ / "pam.log"), AllOf(StartsWith("old\n"), HasSubstr("fresh")));
}

TEST_F(log_file, a_failed_reopen_keeps_the_old_file) {
  std::filesystem::create_directory(folder_ / "logs");
  auto log = open(folder_ / "logs" / "pam.log");
  std::filesystem::rename(folder_ / "logs", folder_ / "moved");
  std::ofstream{folder_ / "logs"} << "a file where the folder was";

  const auto reopened = log.reopen();
  log.info("still");

  ASSERT_TRUE(reopened.has_error());
  EXPECT_THAT(reopened.error().message, HasSubstr("cannot be reopened"));
  EXPECT_THAT(content(folder_ / "moved" / "pam.log"), HasSubstr("still"));
}

TEST_F(log_file, a_file_that_cannot_be_opened_is_an_error_that_names_it) {
  log_settings settings;
  settings.file = folder_.string();

  const auto opened = logger::open(settings);

  ASSERT_TRUE(opened.has_error());
  EXPECT_THAT(opened.error().message, HasSubstr(folder_.string()));
}

TEST_F(log_file, lines_a_full_disk_refuses_are_counted) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "needs /dev/full";
  auto log = open("/dev/full");

  log.info("first");
  log.info("second");

  EXPECT_EQ(log.lost(), 2U);
}

TEST(redacted_email, keeps_the_first_character_and_the_domain) {
  EXPECT_EQ(redacted_email("anna@example.com"), "a***@example.com");
  EXPECT_EQ(redacted_email("\xc3\xa9ric@example.com"), "\xc3\xa9***@example.com");
  EXPECT_EQ(redacted_email("\"a@b\"@example.com"), "\"***@example.com");
  EXPECT_EQ(redacted_email("@example.com"), "***@example.com");
  EXPECT_EQ(redacted_email("anna"), "***");
  EXPECT_EQ(redacted_email(""), "***");
}

}  // namespace
}  // namespace pam::runtime
