#include "load-tests/swarm/http_answer.hpp"

#include <charconv>
#include <cstdint>

namespace pam::load {
namespace {

constexpr std::string_view version = "HTTP/1.1 ";
constexpr std::size_t head_limit = 16 * 1024;

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != lower[i]) return false;
  }
  return true;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

template <class Number>
bool read_number(std::string_view text, Number& into) {
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), into);
  return failure == std::errc{} && end == text.data() + text.size();
}

parsed_answer malformed() {
  return {std::nullopt, true};
}

/// Reads the fields that matter; false for a length that is none.
bool read_fields(std::string_view fields, http_answer& into, std::size_t& length) {
  while (!fields.empty()) {
    const std::size_t end = fields.find("\r\n");
    const std::string_view line = fields.substr(0, end);
    fields.remove_prefix(end == std::string_view::npos ? fields.size() : end + 2);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return false;
    const std::string_view name = line.substr(0, colon);
    const std::string_view value = trimmed(line.substr(colon + 1));
    if (equals_ignoring_case(name, "content-length") && !read_number(value, length)) return false;
    if (equals_ignoring_case(name, "retry-after") && !read_number(value, into.retry_after.emplace()))
      return false;
    if (equals_ignoring_case(name, "connection") && equals_ignoring_case(value, "close")) into.closes = true;
  }
  return true;
}

}  // namespace

parsed_answer parse_answer(std::string_view bytes) {
  if (!version.starts_with(bytes.substr(0, version.size())) && !bytes.starts_with(version))
    return malformed();
  const std::size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return {std::nullopt, bytes.size() > head_limit};
  http_answer found;
  if (!read_number(bytes.substr(version.size(), 3), found.status) || found.status < 200) return malformed();
  const std::size_t first_line = bytes.find("\r\n");
  std::size_t length = 0;
  if (first_line < end && !read_fields(bytes.substr(first_line + 2, end - first_line - 2), found, length)) {
    return malformed();
  }
  found.head = bytes.substr(0, end + 4);
  found.bytes = found.head.size() + length;
  if (bytes.size() < found.bytes) return {};
  found.body = bytes.substr(found.head.size(), length);
  return {found, false};
}

}  // namespace pam::load
