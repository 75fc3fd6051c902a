#include "protocol/trace_context.hpp"

#include <algorithm>

namespace pam::protocol {
namespace {

constexpr std::string_view digits = "0123456789abcdef";

bool read_hex(std::string_view text, std::span<std::byte> out) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t high = digits.find(text[2 * i]);
    const std::size_t low = digits.find(text[2 * i + 1]);
    if (high == std::string_view::npos || low == std::string_view::npos) return false;
    out[i] = static_cast<std::byte>(high << 4U | low);
  }
  return true;
}

bool is_zero(std::span<const std::byte> id) {
  return std::all_of(id.begin(), id.end(), [](std::byte each) { return each == std::byte{0}; });
}

bool is_key(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' || c == '/' ||
         c == '@';
}

bool is_member(std::string_view member) {
  const std::size_t equals = member.find('=');
  if (equals == 0 || equals == std::string_view::npos || equals > 256) return false;
  const std::string_view key = member.substr(0, equals);
  const std::string_view value = member.substr(equals + 1);
  return std::all_of(key.begin(), key.end(), is_key) && !value.empty() && value.size() <= 256 &&
         std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~' && c != '='; });
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<trace_context> parse_traceparent(std::string_view header) {
  // version "-" trace-id "-" parent-id "-" trace-flags
  constexpr std::string_view shape = "00-00000000000000000000000000000000-0000000000000000-00";
  if (header.size() < shape.size()) return std::nullopt;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (shape[i] == '-' && header[i] != '-') return std::nullopt;
  }
  std::array<std::byte, 1> version{};
  std::array<std::byte, 1> flags{};
  trace_context context;
  if (!read_hex(header, version) || !read_hex(header.substr(3), context.trace_id) ||
      !read_hex(header.substr(36), context.parent_id) || !read_hex(header.substr(53), flags)) {
    return std::nullopt;
  }
  const bool is_first_version = version[0] == std::byte{0};
  const bool goes_on = header.size() > shape.size();
  if (version[0] == std::byte{0xff} || (goes_on && (is_first_version || header[shape.size()] != '-'))) {
    return std::nullopt;
  }
  if (is_zero(context.trace_id) || is_zero(context.parent_id)) return std::nullopt;
  context.is_sampled = (flags[0] & std::byte{1}) != std::byte{0};
  return context;
}

std::string_view valid_tracestate(std::string_view header) {
  constexpr std::size_t max_bytes = 512;
  constexpr std::size_t max_members = 32;
  if (header.size() > max_bytes) return {};
  std::size_t members = 0;
  for (std::string_view rest = header;;) {
    const std::size_t comma = rest.find(',');
    const std::string_view member = trimmed(rest.substr(0, comma));
    if (!member.empty() && (!is_member(member) || ++members > max_members)) return {};
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return members == 0 ? std::string_view{} : trimmed(header);
}

std::string to_hex(std::span<const std::byte> bytes) {
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte each : bytes) {
    text += digits[std::to_integer<std::size_t>(each >> 4U)];
    text += digits[std::to_integer<std::size_t>(each & std::byte{0xf})];
  }
  return text;
}

}  // namespace pam::protocol
