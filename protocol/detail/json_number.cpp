#include "protocol/detail/json_number.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>

namespace pam::protocol::detail {
namespace {

/// The pieces of a number: sign, digits around the point, exponent.
struct number_parts {
  bool is_negative = false;
  std::string_view whole;
  std::string_view fraction;
  long exponent = 0;
};

/// Beyond any exponent that a number of acceptable magnitude can have in a body of megabytes, and far
/// from the ends of `long`.
constexpr long exponent_ceiling = 1'000'000'000;

std::string_view take_digits(std::string_view& rest) {
  std::size_t count = 0;
  while (count < rest.size() && rest[count] >= '0' && rest[count] <= '9') ++count;
  const auto digits = rest.substr(0, count);
  rest.remove_prefix(count);
  return digits;
}

bool take(std::string_view& rest, char c) {
  if (rest.empty() || rest.front() != c) return false;
  rest.remove_prefix(1);
  return true;
}

bool take_exponent(std::string_view& rest, long& exponent) {
  const bool is_negative = take(rest, '-');
  if (!is_negative) take(rest, '+');
  const auto digits = take_digits(rest);
  if (digits.empty()) return false;
  for (const char digit : digits) {
    if (exponent < exponent_ceiling) exponent = exponent * 10 + (digit - '0');
  }
  if (is_negative) exponent = -exponent;
  return true;
}

/// RFC 8259 section 6. False unless the whole token is one number.
bool split(std::string_view rest, number_parts& parts) {
  parts.is_negative = take(rest, '-');
  parts.whole = take_digits(rest);
  if (parts.whole.empty() || (parts.whole.size() > 1 && parts.whole.front() == '0')) return false;
  if (take(rest, '.')) {
    parts.fraction = take_digits(rest);
    if (parts.fraction.empty()) return false;
  }
  if (take(rest, 'e') || take(rest, 'E')) {
    if (!take_exponent(rest, parts.exponent)) return false;
  }
  return rest.empty();
}

bool is_zero(const number_parts& parts) {
  return parts.whole.find_first_not_of('0') == std::string_view::npos &&
         parts.fraction.find_first_not_of('0') == std::string_view::npos;
}

}  // namespace

number_verdict judge_number(std::string_view token) {
  number_parts parts;
  if (!split(token, parts)) return number_verdict::malformed;
  if (is_zero(parts)) return number_verdict::fine;
  if (parts.exponent == 0 && parts.whole.size() <= 300 && parts.fraction.size() <= 300) {
    return number_verdict::fine;  // nearly all numbers: no conversion needed to see that they fit
  }

  double value = 0;
  const auto status = std::from_chars(token.data(), token.data() + token.size(), value).ec;
  // Libraries disagree on what a range error leaves in `value`: both signs count.
  const bool fits = status == std::errc{} && std::isfinite(value) && value != 0;
  return fits ? number_verdict::fine : number_verdict::out_of_range;
}

void append_number(std::string& out, std::string_view token) {
  number_parts parts;
  if (!split(token, parts) || is_zero(parts)) {
    out += '0';
    return;
  }

  std::string digits;
  digits.reserve(parts.whole.size() + parts.fraction.size());
  digits.append(parts.whole).append(parts.fraction);
  const auto leading_zeros = digits.find_first_not_of('0');
  digits.erase(0, leading_zeros);
  // Digits before the point once the exponent is applied; not positive: zeros follow the point first.
  const long point =
      static_cast<long>(parts.whole.size()) - static_cast<long>(leading_zeros) + parts.exponent;
  digits.erase(digits.find_last_not_of('0') + 1);

  if (parts.is_negative) out += '-';
  if (point <= 0) {
    out += "0.";
    out.append(static_cast<std::size_t>(-point), '0').append(digits);
  } else if (const auto whole = static_cast<std::size_t>(point); whole >= digits.size()) {
    out.append(digits).append(whole - digits.size(), '0');
  } else {
    out.append(digits, 0, whole).append(1, '.').append(digits, whole);
  }
}

}  // namespace pam::protocol::detail
