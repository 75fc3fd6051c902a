#include "bench/database/report.hpp"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

namespace pam::bench {

namespace {

std::string text_of(std::optional<double> value) {
  return value ? fmt::format("{:.4g}", *value) : std::string{"null"};
}

std::string column_of(std::optional<double> value) {
  if (!value) return "-";
  return *value >= 100 ? fmt::format("{:.0f}", *value) : fmt::format("{:.2f}", *value);
}

std::string verdict_of(std::optional<bool> is_met) {
  if (!is_met) return "";
  return *is_met ? "met" : "missed";
}

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) throw std::runtime_error("no sample to take the median of");
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

std::string json_of(const std::vector<double>& values) {
  std::string text = "[";
  for (const double value : values) text += fmt::format("{}{:.6g}", text.size() == 1 ? "" : ",", value);
  return text + "]";
}

std::optional<double> finding::ratio() const {
  if (!reference || *reference == 0) return std::nullopt;
  return ours / *reference;
}

std::optional<bool> finding::is_met() const {
  const std::optional<double> judged = reference ? ratio() : std::optional{ours};
  if (!target || !judged) return std::nullopt;
  return less_is_better ? *judged <= *target : *judged >= *target;
}

void report::add(finding one) {
  if (findings_.empty()) {
    fmt::print("{:<38}{:>10}{:>11}{:>8}{:>8}  {:<7}{}\n", "what", "ours", "reference", "ratio", "target", "",
               "unit; more");
  }
  fmt::print("{:<38}{:>10}{:>11}{:>8}{:>8}  {:<7}{}{}{}\n", one.name, column_of(one.ours),
             column_of(one.reference), column_of(one.ratio()), column_of(one.target),
             verdict_of(one.is_met()), one.unit, one.note.empty() ? "" : "; ", one.note);
  std::fflush(stdout);
  findings_.push_back(std::move(one));
}

void report::write(const std::string& file) const {
  std::ofstream out{file};
  out << "[";
  const char* separator = "\n";
  for (const finding& one : findings_) {
    const std::optional<bool> met = one.is_met();
    out << separator
        << fmt::format(R"({{"name":"{}","ours":{},"reference":{},"ratio":{},"target":{},"met":{},)"
                       R"("less_is_better":{},"unit":"{}","note":"{}","samples":{}}})",
                       one.name, text_of(one.ours), text_of(one.reference), text_of(one.ratio()),
                       text_of(one.target), met ? (*met ? "true" : "false") : "null", one.less_is_better,
                       one.unit, one.note, one.samples.empty() ? "null" : one.samples);
    separator = ",\n";
  }
  out << "\n]\n";
  if (!out.flush()) throw std::runtime_error("cannot write " + file);
}

}  // namespace pam::bench
