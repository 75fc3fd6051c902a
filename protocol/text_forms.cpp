// Text forms of times and ids (declared in objects.hpp).
#include "protocol/detail/text_forms.hpp"

#include <algorithm>

#include "protocol/objects.hpp"

namespace pam::protocol {
namespace {

using std::chrono::days;
using std::chrono::sys_days;

constexpr timestamp first_moment = sys_days{std::chrono::year{0} / 1 / 1};
constexpr timestamp last_moment =
    sys_days{std::chrono::year{9999} / 12 / 31} + days{1} - std::chrono::microseconds{1};

void put(char* at, unsigned width, std::uint64_t value) {
  for (char* digit = at + width; digit != at; value /= 10) *--digit = static_cast<char>('0' + value % 10);
}

/// Reads exactly `width` digits and moves on; -1 when they are not there.
int take_number(std::string_view& rest, std::size_t width) {
  if (rest.size() < width) return -1;
  int value = 0;
  for (std::size_t i = 0; i < width; ++i) {
    if (rest[i] < '0' || rest[i] > '9') return -1;
    value = value * 10 + (rest[i] - '0');
  }
  rest.remove_prefix(width);
  return value;
}

bool take(std::string_view& rest, std::string_view one_of) {
  if (rest.empty() || one_of.find(rest.front()) == std::string_view::npos) return false;
  rest.remove_prefix(1);
  return true;
}

std::optional<timestamp> take_date_and_time(std::string_view& rest) {
  const int year = take_number(rest, 4);
  if (year < 0 || !take(rest, "-")) return std::nullopt;
  const int month = take_number(rest, 2);
  if (month < 0 || !take(rest, "-")) return std::nullopt;
  const int day = take_number(rest, 2);
  if (day < 0 || !take(rest, "Tt ")) return std::nullopt;
  const int hour = take_number(rest, 2);
  if (hour < 0 || hour > 23 || !take(rest, ":")) return std::nullopt;
  const int minute = take_number(rest, 2);
  if (minute < 0 || minute > 59 || !take(rest, ":")) return std::nullopt;
  const int second = take_number(rest, 2);
  if (second < 0 || second > 59) return std::nullopt;

  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!date.ok()) return std::nullopt;
  return timestamp{sys_days{date}} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
         std::chrono::seconds{second};
}

/// The part after '.'; at least one digit. What lies beyond microseconds is cut off.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& rest) {
  if (!take(rest, ".")) return std::chrono::microseconds{0};
  std::int64_t value = 0;
  int digits = 0;
  for (int digit = take_number(rest, 1); digit >= 0; digit = take_number(rest, 1), ++digits) {
    if (digits < 6) value = value * 10 + digit;
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 6; ++digits) value *= 10;
  return std::chrono::microseconds{value};
}

/// `Z` or the distance from UTC.
std::optional<std::chrono::minutes> take_offset(std::string_view& rest) {
  if (take(rest, "Zz")) return std::chrono::minutes{0};
  const bool is_west = !rest.empty() && rest.front() == '-';
  if (!take(rest, "+-")) return std::nullopt;
  const int hours = take_number(rest, 2);
  if (hours < 0 || hours > 23 || !take(rest, ":")) return std::nullopt;
  const int minutes = take_number(rest, 2);
  if (minutes < 0 || minutes > 59) return std::nullopt;
  const std::chrono::minutes offset{hours * 60 + minutes};
  return is_west ? -offset : offset;
}

constexpr int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

constexpr bool has_hyphen_before(std::size_t byte) {
  return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

constexpr std::size_t uuid_text_length = 36;

}  // namespace

detail::time_text detail::text_of(timestamp value) {
  value = std::clamp(value, first_moment, last_moment);
  const auto day = std::chrono::floor<days>(value);
  const std::chrono::year_month_day date{day};
  const auto since_midnight = static_cast<std::uint64_t>((value - day).count());
  const std::uint64_t seconds = since_midnight / 1'000'000;

  time_text out;
  std::ranges::copy(std::string_view{"0000-00-00T00:00:00.000000Z"}, out.begin());
  put(&out[0], 4, static_cast<std::uint64_t>(static_cast<int>(date.year())));
  put(&out[5], 2, static_cast<unsigned>(date.month()));
  put(&out[8], 2, static_cast<unsigned>(date.day()));
  put(&out[11], 2, seconds / 3600);
  put(&out[14], 2, seconds / 60 % 60);
  put(&out[17], 2, seconds % 60);
  put(&out[20], 6, since_midnight % 1'000'000);
  return out;
}

detail::uuid_text detail::text_of(const boost::uuids::uuid& value) {
  constexpr std::string_view hex = "0123456789abcdef";
  uuid_text out;
  out.fill('-');
  std::size_t at = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (has_hyphen_before(i)) ++at;
    out[at++] = hex[value.data[i] >> 4];
    out[at++] = hex[value.data[i] & 15];
  }
  return out;
}

std::string to_rfc3339(timestamp value) {
  return std::string{detail::view(detail::text_of(value))};
}

std::string to_string(const boost::uuids::uuid& value) {
  return std::string{detail::view(detail::text_of(value))};
}

std::optional<timestamp> parse_rfc3339(std::string_view text) {
  const auto moment = take_date_and_time(text);
  if (!moment) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  return *moment + *fraction - *offset;
}

std::optional<boost::uuids::uuid> parse_uuid(std::string_view text) {
  if (text.size() != uuid_text_length) return std::nullopt;
  boost::uuids::uuid value{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (has_hyphen_before(i) && text[at++] != '-') return std::nullopt;
    const int high = hex_value(text[at++]);
    const int low = hex_value(text[at++]);
    if (high < 0 || low < 0) return std::nullopt;
    value.data[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return value;
}

}  // namespace pam::protocol
