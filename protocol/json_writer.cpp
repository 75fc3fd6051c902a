#include "protocol/json_writer.hpp"

#include <array>
#include <charconv>
#include <cstdint>
#include <cstring>

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

/// Where the first character that must be escaped stands at or behind `from`, or the size. Eight at a time:
/// text nearly never has one (Mycroft's test for a zero byte; a false alarm costs a look at the eight).
std::size_t next_escape(std::string_view text, std::size_t from) {
  constexpr std::uint64_t ones = 0x0101010101010101U;
  constexpr std::uint64_t highs = 0x8080808080808080U;
  const auto zero_byte = [](std::uint64_t word) { return (word - ones) & ~word & highs; };
  for (; from + sizeof(std::uint64_t) <= text.size(); from += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, text.data() + from, sizeof(word));
    const std::uint64_t controls = (word - 0x20 * ones) & ~word & highs;
    if ((controls | zero_byte(word ^ ('"' * ones)) | zero_byte(word ^ ('\\' * ones))) != 0) break;
  }
  while (from < text.size() && !escape_table[static_cast<unsigned char>(text[from])]) ++from;
  return from;
}

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
  for (std::size_t at = next_escape(value, 0); at < value.size(); at = next_escape(value, run)) {
    out_.append(value, run, at - run);
    append_escape(out_, value[at]);
    run = at + 1;
  }
  out_.append(value, run);
  out_ += '"';
}

}  // namespace pam::protocol
