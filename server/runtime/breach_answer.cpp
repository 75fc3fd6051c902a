#include "server/runtime/breach_answer.hpp"

#include <algorithm>

namespace pam::runtime {
namespace {

constexpr std::size_t suffix_digits = 35;
constexpr std::size_t kept_digits = 16;
constexpr std::size_t most_count_digits = 12;

std::optional<unsigned> digit_of(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  return std::nullopt;
}

struct entry {
  std::uint64_t suffix = 0;
  bool was_seen = false;
};

std::optional<entry> read_line(std::string_view line) {
  entry read;
  if (line.size() < suffix_digits + 2 || line[suffix_digits] != ':') return std::nullopt;
  for (std::size_t i = 0; i < suffix_digits; ++i) {
    const auto digit = digit_of(line[i]);
    if (!digit) return std::nullopt;
    if (i < kept_digits) read.suffix = read.suffix << 4 | *digit;
  }
  const std::string_view count = line.substr(suffix_digits + 1);
  if (count.size() > most_count_digits) return std::nullopt;
  for (const char c : count) {
    if (c < '0' || c > '9') return std::nullopt;
    read.was_seen = read.was_seen || c != '0';
  }
  return read;
}

unsigned nibble_of(const crypto::sha1_digest& of, std::size_t at) {
  const auto byte = std::to_integer<unsigned>(of[at / 2]);
  return at % 2 == 0 ? byte >> 4 : byte & 0xfU;
}

}  // namespace

std::optional<breach_range> breach_range::parse(std::string_view body) {
  breach_range range;
  std::size_t lines = 0;
  while (!body.empty()) {
    const std::size_t end = std::min(body.find('\n'), body.size());
    std::string_view line = body.substr(0, end);
    body.remove_prefix(std::min(end + 1, body.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() && body.empty()) break;
    const auto read = read_line(line);
    if (!read || ++lines > max_breach_entries) return std::nullopt;
    if (read->was_seen) range.suffixes_.push_back(read->suffix);
  }
  std::ranges::sort(range.suffixes_);
  return range;
}

bool breach_range::contains(const crypto::sha1_digest& of) const {
  constexpr std::size_t prefix_digits = 5;
  std::uint64_t suffix = 0;
  for (std::size_t i = 0; i < kept_digits; ++i) suffix = suffix << 4 | nibble_of(of, prefix_digits + i);
  return std::ranges::binary_search(suffixes_, suffix);
}

std::string breach_prefix(const crypto::sha1_digest& of) {
  std::string prefix;
  for (std::size_t i = 0; i < 5; ++i) prefix += "0123456789ABCDEF"[nibble_of(of, i)];
  return prefix;
}

}  // namespace pam::runtime
