#include "protocol/json_writer.hpp"

#include <array>
#include <charconv>

namespace pam::protocol {
namespace {

constexpr bool needs_escape(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == '"' || c == '\\';
}

constexpr std::array<bool, 256> escape_table = [] {
  std::array<bool, 256> table{};
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = needs_escape(static_cast<char>(i));
  return table;
}();

void append_escape(std::string& out, char c) {
  constexpr std::string_view hex = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  out += "\\u00";
  out += hex[byte >> 4];
  out += hex[byte & 15];
}

}  // namespace

void json_writer::key(std::string_view name) {
  separate();
  quoted(name);
  out_ += ':';
  needs_comma_ = false;
}

void json_writer::text(std::string_view value) {
  separate();
  quoted(value);
  needs_comma_ = true;
}

void json_writer::integer(std::int64_t value) {
  std::array<char, 20> digits;  // "-9223372036854775808"
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  raw({digits.data(), static_cast<std::size_t>(end - digits.data())});
}

void json_writer::raw(std::string_view json) {
  separate();
  out_ += json;
  needs_comma_ = true;
}

void json_writer::open(char bracket) {
  separate();
  out_ += bracket;
  needs_comma_ = false;
}

void json_writer::close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
}

void json_writer::separate() {
  if (needs_comma_) out_ += ',';
}

void json_writer::quoted(std::string_view value) {
  out_ += '"';
  std::size_t run = 0;  // start of what was not yet appended; runs are copied at once
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (!escape_table[static_cast<unsigned char>(value[i])]) continue;
    out_.append(value, run, i - run);
    append_escape(out_, value[i]);
    run = i + 1;
  }
  out_.append(value, run);
  out_ += '"';
}

}  // namespace pam::protocol
