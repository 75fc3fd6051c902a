#include "server/net/request_context.hpp"

#include <algorithm>

namespace pam::net {
namespace {

constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool equals_without_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

/// Value of one hexadecimal digit, or -1.
constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// One decoded character of form-urlencoded text; advances `at` past it.
char decode_next(std::string_view text, std::size_t& at) {
  const char c = text[at++];
  if (c == '+') return ' ';
  if (c != '%' || at + 1 >= text.size()) return c;
  const int high = hex_value(text[at]);
  const int low = hex_value(text[at + 1]);
  if (high < 0 || low < 0) return c;
  at += 2;
  return static_cast<char>(high * 16 + low);
}

bool decodes_to(std::string_view text, std::string_view wanted) {
  std::size_t at = 0;
  std::size_t compared = 0;
  while (at < text.size()) {
    if (compared == wanted.size() || decode_next(text, at) != wanted[compared]) return false;
    ++compared;
  }
  return compared == wanted.size();
}

std::string decode(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) decoded.push_back(decode_next(text, at));
  return decoded;
}

}  // namespace

std::string_view to_string(method value) {
  switch (value) {
    case method::get:
      return "GET";
    case method::head:
      return "HEAD";
    case method::post:
      return "POST";
    case method::put:
      return "PUT";
    case method::patch:
      return "PATCH";
    case method::del:
      return "DELETE";
    case method::options:
      return "OPTIONS";
    case method::other:
      break;
  }
  return "other";
}

std::string_view request_context::header(std::string_view name) const {
  for (const header_field& field : fields) {
    if (equals_without_case(field.name, name)) return field.value;
  }
  return {};
}

bool request_context::has_header(std::string_view name) const {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const header_field& field) { return equals_without_case(field.name, name); });
}

std::string request_context::query_value(std::string_view name) const {
  std::string_view rest = query;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view member = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const std::size_t equals = std::min(member.find('='), member.size());
    if (!decodes_to(member.substr(0, equals), name)) continue;
    return equals < member.size() ? decode(member.substr(equals + 1)) : std::string{};
  }
  return {};
}

}  // namespace pam::net
