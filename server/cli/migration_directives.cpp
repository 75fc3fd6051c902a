#include "server/cli/migration_directives.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace pam::cli {

namespace {

constexpr std::array<std::string_view, 8> known_keys{"tx",   "phase", "lock_timeout", "retries",
                                                     "role", "batch", "table",        "each"};
constexpr std::size_t mandatory_keys = 4;

struct directive {
  std::string_view key;
  std::string_view value;
};

bool is_word(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
}

/// `-- key: value` with nothing around it, else nothing.
std::optional<directive> as_directive(std::string_view line) {
  if (!line.starts_with("-- ")) return std::nullopt;
  line.remove_prefix(3);
  const std::size_t colon = line.find(": ");
  if (colon == std::string_view::npos || !is_word(line.substr(0, colon))) return std::nullopt;
  return directive{line.substr(0, colon), line.substr(colon + 2)};
}

std::optional<int> as_number(std::string_view text, int limit) {
  int value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  if (value < 0 || value > limit) return std::nullopt;
  return value;
}

std::optional<std::chrono::milliseconds> as_duration(std::string_view text) {
  constexpr int limit_ms = 60'000;
  int factor = 1'000;
  if (text.ends_with("ms")) {
    factor = 1;
    text.remove_suffix(2);
  } else if (text.ends_with("s")) {
    text.remove_suffix(1);
  } else {
    return std::nullopt;
  }
  const std::optional<int> number = as_number(text, limit_ms / factor);
  if (!number) return std::nullopt;
  return std::chrono::milliseconds{*number * factor};
}

/// Stores one value; a sentence about what would be right otherwise.
std::string_view store(const directive& from, migration_directives& into) {
  if (from.key == "tx") {
    if (from.value != "on" && from.value != "off") return "is on or off";
    into.is_transactional = from.value == "on";
  } else if (from.key == "phase") {
    for (const migration_phase phase :
         {migration_phase::expand, migration_phase::backfill, migration_phase::contract}) {
      if (from.value != to_string(phase)) continue;
      into.phase = phase;
      return {};
    }
    return "is expand, backfill or contract";
  } else if (from.key == "lock_timeout") {
    const std::optional<std::chrono::milliseconds> limit = as_duration(from.value);
    if (!limit) return "is a whole number with ms or s, at most 60s";
    into.lock_timeout = *limit;
  } else if (from.key == "retries") {
    const std::optional<int> tries = as_number(from.value, 1'000);
    if (!tries) return "is a whole number from 0 to 1000";
    into.retries = *tries;
  } else if (from.key == "batch") {
    const std::optional<int> rows = as_number(from.value, 100'000);
    if (!rows || *rows == 0) return "is a whole number from 1 to 100000";
    into.batch = *rows;
  } else if (from.key == "table" || from.key == "each") {
    if (!is_word(from.value)) return "is a table's name in lower case";
    (from.key == "each" ? into.each : into.table) = from.value;
  } else {
    if (!is_word(from.value)) return "is a role's name in lower case";
    into.role = from.value;
  }
  return {};
}

migration_error malformed(std::string_view file_name, std::string_view what) {
  return {migration_errc::malformed, std::string{file_name} + ": " + std::string{what} + "."};
}

/// Cuts the next line off `rest`, without its end.
std::string_view next_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  return line;
}

}  // namespace

std::string_view to_string(migration_phase phase) {
  switch (phase) {
    case migration_phase::expand:
      return "expand";
    case migration_phase::backfill:
      return "backfill";
    case migration_phase::contract:
      return "contract";
  }
  return "unknown";
}

migration_result<migration_directives> parse_directives(std::string_view sql, std::string_view file_name) {
  migration_directives read;
  std::array<bool, known_keys.size()> seen{};
  bool is_header = true;
  while (!sql.empty()) {
    const std::optional<directive> found = as_directive(next_line(sql));
    if (!found) {
      is_header = false;
      continue;
    }
    const auto* const known = std::ranges::find(known_keys, found->key);
    if (known == known_keys.end()) {
      if (!is_header) continue;  // an ordinary comment
      return malformed(file_name, "the directive \"" + std::string{found->key} + "\" is unknown");
    }
    const auto index = static_cast<std::size_t>(known - known_keys.begin());
    if (!is_header) {
      return malformed(file_name, "the directive \"" + std::string{found->key} +
                                      "\" stands below the header, where it has no effect");
    }
    if (seen[index]) {
      return malformed(file_name, "the directive \"" + std::string{found->key} + "\" is given twice");
    }
    seen[index] = true;
    const std::string_view wrong = store(*found, read);
    if (!wrong.empty()) {
      return malformed(file_name, "the directive \"" + std::string{found->key} + "\" " + std::string{wrong} +
                                      ", not \"" + std::string{found->value} + "\"");
    }
  }
  for (std::size_t i = 0; i < mandatory_keys; ++i) {
    if (!seen[i])
      return malformed(file_name, "the directive \"" + std::string{known_keys[i]} + "\" is missing");
  }
  if (read.is_keyset() != !read.table.empty())
    return malformed(file_name, "the directives \"batch\" and \"table\" come together");
  if (read.is_keyset() && (read.phase != migration_phase::backfill || read.is_transactional))
    return malformed(file_name, "the directive \"batch\" wants phase: backfill and tx: off");
  if (!read.each.empty() && (read.is_transactional || read.is_keyset()))
    return malformed(file_name, "the directive \"each\" wants tx: off and no batch");
  return read;
}

}  // namespace pam::cli
