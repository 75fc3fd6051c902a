#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <type_traits>
#include <utility>

#include "server/runtime/config_table.hpp"
#include "server/runtime/config_values.hpp"
#include "server/runtime/utf8.hpp"

namespace pam::runtime {
namespace {

constexpr std::size_t text_limit = 4'096;

struct mode_name {
  std::string_view name;
  db::pooler_mode mode;
};
constexpr std::array mode_names{mode_name{"automatic", db::pooler_mode::automatic},
                                mode_name{"direct", db::pooler_mode::direct},
                                mode_name{"pgbouncer_named", db::pooler_mode::pgbouncer_named},
                                mode_name{"pgbouncer_safe", db::pooler_mode::pgbouncer_safe}};

template <class T>
constexpr bool is_duration =
    std::is_same_v<T, std::chrono::milliseconds> || std::is_same_v<T, std::chrono::seconds>;
template <class T>
constexpr bool is_number = std::is_integral_v<T> && !std::is_same_v<T, bool>;
template <class T>
constexpr bool is_list =
    std::is_same_v<T, std::vector<std::string>> || std::is_same_v<T, std::vector<db::endpoint>>;

std::string format_list(const std::vector<std::string>& entries) {
  std::string out = "[";
  for (const std::string& entry : entries) {
    if (out.size() > 1) out += ", ";
    out += quoted(entry);
  }
  return out + "]";
}

/// The value as a message shows it; a secret's never is.
std::string shown(const option& which, const raw_value& value) {
  if (which.mark == option_mark::secret) return "the given value";
  return std::visit(
      [](const auto& v) -> std::string {
        using type = std::decay_t<decltype(v)>;
        if constexpr (std::is_same_v<type, std::monostate>) {
          return "a table, a date or a list of other things";
        } else if constexpr (std::is_same_v<type, bool>) {
          return v ? "true" : "false";
        } else if constexpr (std::is_same_v<type, std::string>) {
          return quoted_short(v);
        } else if constexpr (std::is_same_v<type, std::vector<std::string>>) {
          return "a list of " + std::to_string(v.size());
        } else if constexpr (std::is_same_v<type, double>) {
          std::array<char, 40> text{};
          const auto [end, failure] = std::to_chars(text.data(), text.data() + text.size(), v);
          return {text.data(), end};
        } else {
          return std::to_string(v);
        }
      },
      value);
}

std::string must_be(const option& which, const raw_value& value) {
  return "must be " + expectation(which) + ", not " + shown(which, value);
}

/// Rules for every text, whatever its form: PostgreSQL, paths and JSON logs all choke on the same.
std::optional<std::string> fault_of_text(const option& which, const std::string& text) {
  if (text.size() > text_limit) return "is longer than " + std::to_string(text_limit) + " bytes";
  if (!is_utf8(text)) return "is not UTF-8";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return "contains a control character";
  }
  if (!which.choices.empty() &&
      std::find(which.choices.begin(), which.choices.end(), text) == which.choices.end()) {
    return must_be(which, text);
  }
  if (which.form != nullptr && !which.form->accepts(text)) {
    return "must be " + std::string{which.form->description} + ", not " + shown(which, text);
  }
  return std::nullopt;
}

std::optional<std::int64_t> number_of(const option& which, const raw_value& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr || which.mark != option_mark::bytes) return std::nullopt;
  const auto bytes = parse_size(*text);
  if (!bytes) return std::nullopt;
  return static_cast<std::int64_t>(*bytes);
}

std::optional<std::chrono::milliseconds> duration_of(const raw_value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return parse_duration(*text);
  const auto* seconds = std::get_if<std::int64_t>(&value);
  if (seconds == nullptr || *seconds < 0 || *seconds > std::numeric_limits<std::int64_t>::max() / 1'000) {
    return std::nullopt;
  }
  return std::chrono::seconds{*seconds};
}

using fault = std::optional<std::string>;

fault store(const option& which, bool& target, const raw_value& value) {
  const auto* given = std::get_if<bool>(&value);
  if (given == nullptr) return must_be(which, value);
  target = *given;
  return std::nullopt;
}

template <class T>
  requires is_number<T>
fault store(const option& which, T& target, const raw_value& value) {
  const auto number = number_of(which, value);
  if (!number || *number < which.low || *number > which.high) return must_be(which, value);
  target = static_cast<T>(*number);
  return std::nullopt;
}

template <class T>
  requires is_duration<T>
fault store(const option& which, T& target, const raw_value& value) {
  const auto time = duration_of(value);
  if (!time || time->count() < which.low || time->count() > which.high) return must_be(which, value);
  const T whole = std::chrono::duration_cast<T>(*time);
  if (whole != *time) return "must be whole seconds, not " + shown(which, value);
  target = whole;
  return std::nullopt;
}

fault store(const option& which, std::string& target, const raw_value& value) {
  const auto* text = std::get_if<std::string>(&value);
  if (text == nullptr) return must_be(which, value);
  if (auto wrong = fault_of_text(which, *text)) return wrong;
  target = *text;
  return std::nullopt;
}

fault store(const option& which, db::pooler_mode& target, const raw_value& value) {
  const auto* text = std::get_if<std::string>(&value);
  for (const mode_name& one : mode_names) {
    if (text == nullptr || *text != one.name) continue;
    target = one.mode;
    return std::nullopt;
  }
  return must_be(which, value);
}

template <class T>
  requires is_list<T>
fault store(const option& which, T& target, const raw_value& value) {
  const auto* entries = std::get_if<std::vector<std::string>>(&value);
  if (entries == nullptr || std::cmp_greater(entries->size(), which.high)) return must_be(which, value);
  T fresh;
  for (const std::string& entry : *entries) {
    if (auto wrong = fault_of_text(which, entry)) return "entry " + quoted_short(entry) + " " + *wrong;
    if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      fresh.push_back(entry);
    } else {
      auto where = parse_endpoint(entry);
      if (!where)
        return "entry " + quoted_short(entry) + R"( must be "host:port", "[::1]:5432" or a directory)";
      fresh.push_back(std::move(*where));
    }
  }
  target = std::move(fresh);
  return std::nullopt;
}

raw_value split_list(std::string_view text) {
  std::vector<std::string> entries;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view entry = text.substr(0, comma);
    while (entry.starts_with(' ')) entry.remove_prefix(1);
    while (entry.ends_with(' ')) entry.remove_suffix(1);
    entries.emplace_back(entry);
    // A comma at the end announces one more entry, which is empty and will be refused.
    if (comma + 1 == text.size()) entries.emplace_back();
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return entries;
}

std::string from_to(const std::string& low, const std::string& high) {
  return " from " + low + " to " + high;
}

std::string joined(std::span<const std::string_view> names) {
  std::string out;
  for (const std::string_view name : names) out.append(out.empty() ? "" : ", ").append(name);
  return out;
}

}  // namespace

raw_value read_text(const option& which, std::string_view text) {
  const std::string given{text};
  return std::visit(
      [&](const auto* target) -> raw_value {
        using type = std::remove_cvref_t<decltype(*target)>;
        if constexpr (is_list<type>) return split_list(text);
        if constexpr (std::is_same_v<type, bool>) {
          if (text == "true" || text == "false") return text == "true";
        }
        if constexpr (is_number<type> || is_duration<type>) {
          std::int64_t number = 0;
          const char* end = text.data() + text.size();
          const auto [rest, failure] = std::from_chars(text.data(), end, number);
          if (failure == std::errc{} && rest == end) return number;
        }
        return given;
      },
      which.target);
}

std::optional<std::string> assign(const option& which, const raw_value& value) {
  return std::visit([&](auto* target) { return store(which, *target, value); }, which.target);
}

std::string expectation(const option& which) {
  if (!which.choices.empty()) return "one of " + joined(which.choices);
  return std::visit(
      [&](const auto* target) -> std::string {
        using type = std::remove_cvref_t<decltype(*target)>;
        const auto time = [](std::int64_t ticks) {
          return format_duration(std::chrono::milliseconds{ticks});
        };
        const auto size = [](std::int64_t bytes) { return format_size(static_cast<std::uint64_t>(bytes)); };
        if constexpr (std::is_same_v<type, bool>) return "true or false";
        if constexpr (is_duration<type>) return "a duration" + from_to(time(which.low), time(which.high));
        if constexpr (is_number<type>) {
          if (which.mark == option_mark::bytes) return "a size" + from_to(size(which.low), size(which.high));
          return "an integer" + from_to(std::to_string(which.low), std::to_string(which.high));
        }
        if constexpr (std::is_same_v<type, db::pooler_mode>) {
          std::array<std::string_view, mode_names.size()> names;
          std::transform(mode_names.begin(), mode_names.end(), names.begin(), [](auto& m) { return m.name; });
          return "one of " + joined(names);
        }
        if constexpr (is_list<type>) {
          const std::string each =
              which.form == nullptr ? "" : ", each " + std::string{which.form->description};
          return "a list of at most " + std::to_string(which.high) + " texts" + each;
        }
        if (which.form != nullptr) return std::string{which.form->description};
        return which.mark == option_mark::file ? "a file name or \"credential:name\"" : "a text";
      },
      which.target);
}

std::string format_value(const option& which) {
  if (which.mark == option_mark::secret) return "\"\"";
  return std::visit(
      [&](const auto* target) -> std::string {
        using type = std::remove_cvref_t<decltype(*target)>;
        if constexpr (std::is_same_v<type, bool>) {
          return *target ? "true" : "false";
        } else if constexpr (is_duration<type>) {
          return quoted(format_duration(*target));
        } else if constexpr (is_number<type>) {
          return which.mark == option_mark::bytes ? quoted(format_size(*target)) : std::to_string(*target);
        } else if constexpr (std::is_same_v<type, std::string>) {
          return quoted(*target);
        } else if constexpr (std::is_same_v<type, db::pooler_mode>) {
          return quoted(mode_names.at(static_cast<std::size_t>(*target)).name);
        } else if constexpr (std::is_same_v<type, std::vector<db::endpoint>>) {
          std::vector<std::string> texts;
          for (const db::endpoint& where : *target) texts.push_back(format_endpoint(where));
          return format_list(texts);
        } else {
          return format_list(*target);
        }
      },
      which.target);
}

std::string variable_name(std::string_view key) {
  std::string out = "PAM_";
  for (const char c : key) {
    if (c == '.') {
      out += "__";
    } else {
      out += c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
  }
  return out;
}

}  // namespace pam::runtime
