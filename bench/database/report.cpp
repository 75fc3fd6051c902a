#include "bench/database/report.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace pam::bench {

namespace {

// JSON has no number for what is none.
std::string text_of(std::optional<double> value) {
  return value && std::isfinite(*value) ? fmt::format("{:.4g}", *value) : std::string{"null"};
}

std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char each : text) {
    if (static_cast<unsigned char>(each) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(each));
      continue;
    }
    if (each == '"' || each == '\\') out += '\\';
    out += each;
  }
  return out + "\"";
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
  for (const double value : values)
    text += (text.size() == 1 ? "" : ",") + (std::isfinite(value) ? fmt::format("{:.6g}", value) : "null");
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

void report::add_picture(std::string title, std::string svg) {
  pictures_.push_back({std::move(title), std::move(svg)});
}

std::string report::json() const {
  std::string text = fmt::format(R"([
{{"name":"run","ours":null,"note":{}}})",
                                 json_string(run_));
  for (const finding& one : findings_) {
    const std::optional<bool> met = one.is_met();
    text +=
        fmt::format(R"(,
{{"name":{},"ours":{},"reference":{},"ratio":{},"target":{},"met":{},)"
                    R"("less_is_better":{},"unit":{},"note":{},"samples":{}}})",
                    json_string(one.name), text_of(one.ours), text_of(one.reference), text_of(one.ratio()),
                    text_of(one.target), met ? (*met ? "true" : "false") : "null", one.less_is_better,
                    json_string(one.unit), json_string(one.note), one.samples.empty() ? "null" : one.samples);
  }
  return text + "\n]\n";
}

std::string report::page(const std::string& json_name) const {
  std::string text = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>PAM Auth: the database layer</title>"
      "<style>body{{font:14px/1.5 system-ui,sans-serif;max-width:1100px;margin:2em auto;color:#222}}"
      "td,th{{padding:2px 10px;text-align:right}}td:first-child,th:first-child,td:last-child,th:last-child"
      "{{text-align:left}}tr:nth-child(even){{background:#f4f4f4}}.met{{color:#2c7a4b}}.missed{{color:#c00}}"
      "svg{{max-width:760px}}</style>\n<h1>The database layer</h1><p>{}<p>Raw samples, histograms of the "
      "latencies among them, are in <a href=\"{}\">{}</a>.\n<table><tr><th>what<th>ours<th>reference<th>ratio"
      "<th>target<th><th>unit; more\n",
      run_, json_name, json_name);
  for (const finding& one : findings_) {
    const std::string verdict = verdict_of(one.is_met());
    text += fmt::format("<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td class=\"{}\">{}<td>{}{}{}\n", one.name,
                        column_of(one.ours), column_of(one.reference), column_of(one.ratio()),
                        column_of(one.target), verdict, verdict, one.unit, one.note.empty() ? "" : "; ",
                        one.note);
  }
  text += "</table>\n";
  for (const picture& one : pictures_) text += fmt::format("<h2>{}</h2>\n{}", one.title, one.svg);
  return text + "</html>\n";
}

void report::write(const std::string& file) const {
  const auto write_to = [](const std::filesystem::path& where, const std::string& text) {
    std::ofstream out{where};
    if (!(out << text).flush()) throw std::runtime_error("cannot write " + where.string());
  };
  const std::filesystem::path json_file{file};
  write_to(json_file, json());
  write_to(std::filesystem::path{file}.replace_extension(".html"), page(json_file.filename().string()));
}

}  // namespace pam::bench
