#include "server/cli/check/finding.hpp"

#include <algorithm>

#include "protocol/json_writer.hpp"

namespace pam::cli::check {

std::string_view to_string(severity value) {
  switch (value) {
    case severity::ok:
      return "ok";
    case severity::note:
      return "note";
    case severity::warning:
      return "warning";
    case severity::danger:
      break;
  }
  return "danger";
}

namespace {
bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}
}  // namespace

severity worst(std::span<const finding> all) {
  severity found = severity::ok;
  for (const finding& one : all) found = std::max(found, one.level);
  return found;
}

std::string as_text(std::span<const finding> all) {
  constexpr std::size_t column = 9;
  std::string out;
  for (const finding& one : all) {
    std::string level{to_string(one.level)};
    level.resize(column, ' ');
    const std::size_t begin = out.size();
    out += level + one.subject + ": " + one.text;
    if (!one.cure.empty()) out += ". Cure: " + one.cure;
    // One line a finding, whatever a server put into its messages.
    std::replace_if(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end(), is_control, ' ');
    out += '\n';
  }
  const auto count = [&](severity level) {
    return std::to_string(std::ranges::count(all, level, &finding::level)) + " " +
           std::string{to_string(level)};
  };
  return out + count(severity::danger) + ", " + count(severity::warning) + ", " + count(severity::note) +
         ", " + count(severity::ok) + "\n";
}

std::string as_json(std::span<const finding> all) {
  std::string out;
  protocol::json_writer json{out};
  json.begin_object();
  json.member("worst", to_string(worst(all)));
  json.key("findings");
  json.begin_array();
  for (const finding& one : all) {
    json.begin_object();
    json.member("severity", to_string(one.level));
    json.member("subject", one.subject);
    json.member("text", one.text);
    json.member("cure", one.cure);
    json.end_object();
  }
  json.end_array();
  json.end_object();
  return out + "\n";
}

}  // namespace pam::cli::check
