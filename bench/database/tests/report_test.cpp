#include "bench/database/report.hpp"

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

namespace pam::bench {
namespace {

using ::testing::HasSubstr;

finding against(double ours, std::optional<double> reference, std::optional<double> target) {
  finding one;
  one.name = "rate";
  one.ours = ours;
  one.reference = reference;
  one.target = target;
  return one;
}

/// A report's two files, and their text.
class written_report {
 public:
  explicit written_report(const report& what) {
    what.write((folder_ / "db.json").string());
    json = text_of(folder_ / "db.json");
    page = text_of(folder_ / "db.html");
  }
  ~written_report() { std::filesystem::remove_all(folder_); }
  written_report(const written_report&) = delete;
  written_report& operator=(const written_report&) = delete;

  std::string json, page;

 private:
  static std::filesystem::path new_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "pam_report.XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp");
    return name;
  }
  static std::string text_of(const std::filesystem::path& file) {
    std::ifstream in{file};
    return {std::istreambuf_iterator<char>{in}, {}};
  }
  std::filesystem::path folder_ = new_folder();
};

TEST(median, is_the_middle_or_between_the_two_in_the_middle_whatever_their_order) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({9, 1, 5}), 5);
  EXPECT_EQ(median({8, 1, 2, 4}), 3);
  EXPECT_THROW(static_cast<void>(median({})), std::runtime_error);
}

TEST(finding, has_a_ratio_where_there_is_something_to_divide_by) {
  EXPECT_EQ(against(6, 2, {}).ratio(), 3);
  EXPECT_EQ(against(6, {}, {}).ratio(), std::nullopt);
  EXPECT_EQ(against(6, 0, {}).ratio(), std::nullopt);
}

TEST(finding, is_judged_by_its_ratio_where_more_is_better) {
  EXPECT_EQ(against(16, 2, 8).is_met(), true);
  EXPECT_EQ(against(15.9, 2, 8).is_met(), false);
  EXPECT_EQ(against(15.9, 2, {}).is_met(), std::nullopt);
  EXPECT_EQ(against(15.9, 0, 8).is_met(), std::nullopt) << "nothing to compare with is no success";
}

TEST(finding, is_judged_the_other_way_round_where_less_is_better) {
  const auto less = [](finding one) {
    one.less_is_better = true;
    return one.is_met();
  };
  EXPECT_EQ(less(against(6, 2, 3)), true);
  EXPECT_EQ(less(against(6.1, 2, 3)), false);
}

TEST(finding, without_a_reference_is_judged_by_itself) {
  EXPECT_EQ(against(8, {}, 8).is_met(), true);
  EXPECT_EQ(against(7, {}, 8).is_met(), false);
}

TEST(report, is_json_with_every_number_and_every_sample) {
  report what{R"(a "fast" machine with a \ and a)"
              "\ttab"};
  finding one = against(16, 2, 8);
  one.unit = "refreshes/s";
  one.note = R"(p99 of "all")";
  one.samples = json_of({15, 16.5, 17});
  what.add(one);
  finding other = against(300, {}, 250);
  other.less_is_better = true;
  what.add(other);
  const written_report written{what};

  simdjson::dom::parser parser;
  const simdjson::dom::array all = parser.parse(written.json).get_array();

  ASSERT_EQ(all.size(), 3U);
  EXPECT_EQ(all.at(0)["note"].get_string().value(), "a \"fast\" machine with a \\ and a\ttab");
  EXPECT_EQ(all.at(1)["ours"].get_double().value(), 16);
  EXPECT_EQ(all.at(1)["ratio"].get_double().value(), 8);
  EXPECT_TRUE(all.at(1)["met"].get_bool().value());
  EXPECT_EQ(all.at(1)["note"].get_string().value(), one.note);
  EXPECT_EQ(all.at(1)["samples"].get_array().at(1).get_double().value(), 16.5);
  EXPECT_TRUE(all.at(2)["reference"].is_null());
  EXPECT_TRUE(all.at(2)["samples"].is_null());
  EXPECT_FALSE(all.at(2)["met"].get_bool().value());
  EXPECT_TRUE(all.at(2)["less_is_better"].get_bool().value());
}

TEST(report, stays_json_when_a_number_is_none) {
  report what{"run"};
  finding one = against(std::numeric_limits<double>::infinity(), 1, {});
  one.samples = json_of({std::nan(""), 1});
  what.add(one);
  const written_report written{what};

  simdjson::dom::parser parser;
  const simdjson::dom::array all = parser.parse(written.json).get_array();

  EXPECT_TRUE(all.at(1)["ours"].is_null());
  EXPECT_TRUE(all.at(1)["samples"].get_array().at(0).is_null());
}

TEST(report, has_a_page_beside_it_with_each_verdict_and_picture) {
  report what{"run"};
  what.add(against(16, 2, 8));
  what.add(against(1, 2, 8));
  what.add_picture("Curve", "<svg></svg>");
  const written_report written{what};

  EXPECT_THAT(written.page, HasSubstr("class=\"met\">met<"));
  EXPECT_THAT(written.page, HasSubstr("class=\"missed\">missed<"));
  EXPECT_THAT(written.page, HasSubstr("<h2>Curve</h2>\n<svg></svg>"));
  EXPECT_THAT(written.page, HasSubstr("href=\"db.json\""));
}

TEST(report, that_cannot_be_written_is_an_error) {
  EXPECT_THROW(report{"run"}.write("/nowhere/db.json"), std::runtime_error);
}

}  // namespace
}  // namespace pam::bench
