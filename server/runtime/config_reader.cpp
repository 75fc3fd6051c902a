#include "server/runtime/config_reader.hpp"

#include <algorithm>
#include <cctype>
#include <limits>
#include <tuple>

#include <toml++/toml.h>

#include "server/runtime/config_values.hpp"

namespace pam::runtime {
namespace {

/// PAM_ variables that are no keys: the configuration's own name, and where `dev` finds its programs.
bool is_other_use(std::string_view name) {
  return name == "PAM_CONFIG" || name == "PAM_PG_BIN" || name == "PAM_PGBOUNCER";
}

constexpr std::size_t environment_line = std::numeric_limits<std::size_t>::max() - 1;
constexpr std::size_t default_line = std::numeric_limits<std::size_t>::max();

std::vector<std::string> texts_of(const toml::array& list, bool& all_texts) {
  std::vector<std::string> texts;
  for (const toml::node& each : list) {
    const auto* text = each.as_string();
    if (text == nullptr) {
      all_texts = false;
      continue;
    }
    texts.push_back(text->get());
  }
  return texts;
}

raw_value raw_of(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* truth = node.as_boolean()) return truth->get();
  if (const auto* real = node.as_floating_point()) return real->get();
  if (const auto* list = node.as_array()) {
    bool all_texts = true;
    auto texts = texts_of(*list, all_texts);
    if (all_texts) return texts;
  }
  return std::monostate{};
}

std::string lower(std::string_view text) {
  std::string out{text};
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

/// "PAM_LIMITS__CONNECTIONS" as "limits.connections"; without "__" there is no dot.
std::string key_of_variable(std::string_view name) {
  std::string key = lower(name.substr(4));
  if (const std::size_t dot = key.find("__"); dot != std::string::npos) key.replace(dot, 2, ".");
  return key;
}

/// Where the first byte beyond ASCII stands outside of strings and comments, or npos.
std::size_t find_stray_byte(std::string_view toml) {
  const bool has_mark = toml.starts_with("\xef\xbb\xbf");
  for (std::size_t at = has_mark ? 3 : 0; at < toml.size(); ++at) {
    const char c = toml[at];
    if (static_cast<unsigned char>(c) >= 0x80) return at;
    if (c == '#') at = std::min(toml.find('\n', at), toml.size());
    if (c != '"' && c != '\'') continue;
    const bool is_long = toml.substr(at, 3) == std::string(3, c);
    const std::string end(is_long ? 3 : 1, c);
    // A string that is not closed is the parser's to report.
    for (at += end.size(); at < toml.size() && toml.substr(at, end.size()) != end; ++at) {
      if (toml[at] == '\n' && !is_long) break;
      if (toml[at] == '\\' && c == '"') ++at;
    }
    at += end.size() - 1;
  }
  return std::string_view::npos;
}

/// The text with an x for each byte beyond ASCII: lines, strings and comments are where they were.
std::string ascii_of(std::string_view toml) {
  std::string ascii{toml.starts_with("\xef\xbb\xbf") ? toml.substr(3) : toml};
  std::ranges::replace_if(ascii, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }, 'x');
  return ascii;
}

}  // namespace

config_reader::config_reader(std::string_view file_name, const environment& variables)
    : file_name_(file_name), variables_(variables), table_(options_of(settings_)) {}

void config_reader::report(value_origin origin, std::string_view key, std::string message) {
  faulty_.emplace(key);
  findings_.push_back({std::move(origin), std::string{key}, std::move(message)});
}

void config_reader::read_toml(std::string_view toml) {
  const auto at = [this](const toml::source_region& where) {
    return value_origin{where.begin.line, file_name_ + ":" + std::to_string(where.begin.line)};
  };
  // toml++ 3.3 has undefined behaviour for U+FB66 to U+FEFE there, and TOML allows none beyond ASCII.
  if (const std::size_t stray = find_stray_byte(toml); stray != std::string_view::npos) {
    const std::string_view before = toml.substr(0, stray);
    const auto line = 1 + static_cast<std::size_t>(std::count(before.begin(), before.end(), '\n'));
    report({line, file_name_ + ":" + std::to_string(line)}, "",
           "a character beyond ASCII stands outside of quotes and comments; put texts into quotes");
    return;
  }
  toml::table root;
  try {
    // The parser takes quotes inside of a malformed value for part of it, where find_stray_byte sees a
    // string: what is malformed is found in ASCII first.
    std::ignore = toml::parse(ascii_of(toml));
    root = toml::parse(toml);
  } catch (const toml::parse_error& failure) {
    // The parser stops at its first error, so this is the file's only finding.
    // It quotes what it met, line feeds and escapes too.
    std::string what{failure.description()};
    std::ranges::replace_if(what, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
    report(at(failure.source()), "", std::move(what));
    return;
  }
  for (const auto& [name, node] : root) {
    const auto* section_node = node.as_table();
    const bool is_known = std::any_of(config_sections().begin(), config_sections().end(),
                                      [&](const section& s) { return s.name == name.str(); });
    if (section_node == nullptr && is_known) {
      report(at(name.source()), name.str(), "is a section: write [" + std::string{name.str()} + "]");
    } else if (!is_known && section_node == nullptr) {
      report_unknown_key(at(name.source()), name.str());
    } else if (!is_known) {
      report_unknown_section(at(name.source()), name.str());
    } else {
      for (const auto& [member, value] : *section_node) {
        const std::string key = std::string{name.str()} + "." + std::string{member.str()};
        if (const option* which = find_option(table_, key)) {
          entries_.push_back({which, raw_of(value), at(member.source())});
        } else {
          report_unknown_key(at(member.source()), key);
        }
      }
    }
  }
}

void config_reader::read_environment() {
  for (const auto& [name, text] : variables_) {
    if (!name.starts_with("PAM_") || is_other_use(name)) continue;
    const value_origin origin{environment_line, "environment " + name};
    const std::string key = key_of_variable(name);
    const option* which = find_option(table_, key);
    if (which == nullptr || variable_name(which->key) != name) {
      report_unknown_key(origin, key);
    } else {
      entries_.push_back({which, read_text(*which, text), origin});
    }
  }
}

void config_reader::apply() {
  apply_profile_choice();
  for (const entry& given : entries_) {
    if (auto wrong = assign(*given.which, given.value))
      report(given.origin, given.which->key, std::move(*wrong));
    origins_.insert_or_assign(given.which->key, given.origin);
  }
  resolve_credentials();
  read_password("database.password", "database.password_file");
  read_password("migrate.password", "migrate.password_file");
  check_rules();
}

/// The profile changes defaults, so it is known before any other value is applied.
void config_reader::apply_profile_choice() {
  const option* which = find_option(table_, "server.profile");
  for (const entry& given : entries_) {
    if (given.which != which || assign(*which, given.value)) continue;  // reported with the others
    settings_.server.is_profile_chosen = true;
  }
  const std::string chosen = settings_.server.profile;
  apply_profile(settings_, chosen);
}

config_errors config_reader::take_findings() {
  const auto place = [](const finding& f) {
    return std::tie(f.origin.line, f.origin.text, f.key, f.message);
  };
  std::sort(findings_.begin(), findings_.end(),
            [&place](const finding& a, const finding& b) { return place(a) < place(b); });
  config_errors out;
  for (finding& one : findings_) {
    out.push_back({std::move(one.key), std::move(one.origin.text), std::move(one.message)});
  }
  return out;
}

value_origin config_reader::origin_of(std::string_view key) const {
  const auto found = origins_.find(key);
  return found == origins_.end() ? value_origin{default_line, "default"} : found->second;
}

void config_reader::report_unknown_section(const value_origin& origin, std::string_view name) {
  std::vector<std::string_view> names;
  for (const section& one : config_sections()) names.push_back(one.name);
  const std::string_view like = nearest(name, names);
  report(origin, name,
         like.empty() ? "unknown section" : "unknown section; did you mean [" + std::string{like} + "]?");
}

void config_reader::report_unknown_key(const value_origin& origin, std::string_view key) {
  report(origin, key, "unknown key" + did_you_mean(key));
}

std::string config_reader::did_you_mean(std::string_view key) const {
  const bool is_variable = !key.empty() && key.find('.') == std::string_view::npos;
  const std::string_view name = key.substr(key.find('.') + 1);
  const option* like = nullptr;
  // The right name in the wrong section (or in none) says more than a similar spelling.
  for (const option& each : table_) {
    if (each.name() == name) like = &each;
  }
  if (like == nullptr) {
    std::vector<std::string_view> candidates;
    for (const option& each : table_) candidates.push_back(is_variable ? each.name() : each.key);
    const std::string_view best = nearest(is_variable ? name : key, candidates);
    for (const option& each : table_) {
      if (!best.empty() && (each.key == best || (is_variable && each.name() == best))) like = &each;
    }
  }
  if (like == nullptr) return "";
  return "; did you mean " + std::string{like->key} + " (" + variable_name(like->key) + ")?";
}

}  // namespace pam::runtime
