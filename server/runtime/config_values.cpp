#include "server/runtime/config_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <numeric>
#include <utility>

namespace pam::runtime {
namespace {

struct unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::array duration_units{unit{"d", 86'400'000}, unit{"h", 3'600'000}, unit{"m", 60'000},
                                    unit{"s", 1'000}, unit{"ms", 1}};
constexpr std::array size_units{unit{"GiB", std::int64_t{1} << 30}, unit{"MiB", std::int64_t{1} << 20},
                                unit{"KiB", std::int64_t{1} << 10}, unit{"B", 1}};

template <std::size_t N>
std::optional<std::int64_t> parse_with_unit(std::string_view text, const std::array<unit, N>& units) {
  std::int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || number < 0 || text.starts_with('-')) return std::nullopt;
  const std::string_view name{rest, static_cast<std::size_t>(end - rest)};
  for (const unit& one : units) {
    if (one.name != name) continue;
    if (number > std::numeric_limits<std::int64_t>::max() / one.factor) return std::nullopt;
    return number * one.factor;
  }
  return std::nullopt;
}

template <std::size_t N>
std::string format_with_unit(std::int64_t value, const std::array<unit, N>& units) {
  // The last unit's factor is 1, so the search always ends on one.
  const auto fits = std::find_if(units.begin(), units.end() - 1,
                                 [value](const unit& one) { return value % one.factor == 0; });
  return std::to_string(value / fits->factor) + std::string{fits->name};
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, port);
  if (failure != std::errc{} || rest != end || port == 0) return std::nullopt;
  return port;
}

bool is_host(std::string_view text) {
  return !text.empty() && std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == ',' || c == '[' || c == ']';
  });
}

/// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

}  // namespace

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const auto ticks = parse_with_unit(text, duration_units);
  if (!ticks) return std::nullopt;
  return std::chrono::milliseconds{*ticks};
}

std::string format_duration(std::chrono::milliseconds value) {
  if (value.count() == 0) return "0s";
  return format_with_unit(value.count(), duration_units);
}

std::optional<std::uint64_t> parse_size(std::string_view text) {
  const auto bytes = parse_with_unit(text, size_units);
  if (!bytes) return std::nullopt;
  return static_cast<std::uint64_t>(*bytes);
}

std::string format_size(std::uint64_t bytes) {
  if (bytes == 0) return "0B";
  return format_with_unit(static_cast<std::int64_t>(bytes), size_units);
}

std::optional<db::endpoint> parse_endpoint(std::string_view text) {
  std::string_view alias;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos && at < text.find('/')) {
    alias = text.substr(0, at);
    if (alias.empty()) return std::nullopt;
    text = text.substr(at + 1);
  }
  std::string_view host = text;
  std::optional<std::string_view> port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && !rest.starts_with(':')) return std::nullopt;
    if (!rest.empty()) port = rest.substr(1);
  } else if (const std::size_t colon = text.rfind(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
    // A bare IPv6 address would lose its last group to the port.
    if (host.find(':') != std::string_view::npos) return std::nullopt;
  }
  if (!is_host(host)) return std::nullopt;
  db::endpoint where{.host = std::string{host}, .port = 5432, .database = std::string{alias}};
  if (port) {
    const auto number = parse_port(*port);
    if (!number) return std::nullopt;
    where.port = *number;
  }
  return where;
}

std::string format_endpoint(const db::endpoint& where) {
  const bool is_ipv6 = where.host.find(':') != std::string::npos;
  const std::string alias = where.database.empty() ? std::string{} : where.database + "@";
  return alias + (is_ipv6 ? "[" + where.host + "]" : where.host) + ":" + std::to_string(where.port);
}

std::string quoted(std::string_view text) {
  constexpr std::string_view hex = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7f) {
      out += "\\u00";
      out += hex[byte >> 4];
      out += hex[byte & 0xf];
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string quoted_short(std::string_view text) {
  constexpr std::size_t limit = 60;
  if (text.size() <= limit) return quoted(text);
  std::size_t cut = limit;
  // Not inside a UTF-8 sequence: continuation bytes are 10xxxxxx.
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xc0) == 0x80) --cut;
  return quoted(text.substr(0, cut)) + " (cut)";
}

std::vector<std::string_view> nearest_of(std::string_view wanted,
                                         const std::vector<std::string_view>& candidates, std::size_t count) {
  const std::size_t limit = std::max<std::size_t>(2, wanted.size() / 3);
  std::vector<std::pair<std::size_t, std::string_view>> found;
  for (const std::string_view candidate : candidates) {
    const bool contains_it = wanted.size() >= 3 && candidate.find(wanted) != std::string_view::npos;
    const std::size_t away = contains_it ? 0 : distance(wanted, candidate);
    if (away <= limit) found.emplace_back(away, candidate);
  }
  std::sort(found.begin(), found.end());
  std::vector<std::string_view> out;
  for (const auto& [away, candidate] : found) {
    if (out.size() < count) out.push_back(candidate);
  }
  return out;
}

std::string_view nearest(std::string_view wanted, const std::vector<std::string_view>& candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, wanted.size() / 4) + 1;
  for (const std::string_view candidate : candidates) {
    const std::size_t found = distance(wanted, candidate);
    if (found < best_distance) {
      best_distance = found;
      best = candidate;
    }
  }
  return best;
}

}  // namespace pam::runtime
