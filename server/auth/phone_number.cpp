#include "server/auth/phone_number.hpp"

#include <cstddef>

namespace pam::auth {

namespace {

constexpr std::size_t min_digits = 7;
constexpr std::size_t max_digits = 15;
constexpr std::size_t max_text_bytes = 64;  ///< fifteen digits with every separator anybody writes

constexpr subject_error empty{subject_fault::empty, "A phone number is required."};
constexpr subject_error too_long{subject_fault::too_long, "A phone number has at most 15 digits (E.164)."};
constexpr subject_error bad_syntax{
    subject_fault::syntax,
    "A phone number has the form +4930123456: country code first, 7 to 15 digits (E.164)."};

}  // namespace

boost::system::result<std::string, subject_error> canonical_phone(std::string_view text) {
  constexpr std::string_view white = " \t\r\n";
  const auto first = text.find_first_not_of(white);
  if (first == std::string_view::npos) return empty;
  text = text.substr(first, text.find_last_not_of(white) - first + 1);
  if (text.size() > max_text_bytes) return too_long;
  if (text.starts_with('+')) {
    text.remove_prefix(1);
  } else if (text.starts_with("00")) {
    text.remove_prefix(2);
  }
  std::string canonical{"+"};
  bool is_in_parentheses = false;
  for (const char each : text) {
    if (each >= '0' && each <= '9') {
      canonical.push_back(each);
    } else if (each == '(' || each == ')') {
      if (is_in_parentheses == (each == '(')) return bad_syntax;
      is_in_parentheses = !is_in_parentheses;
    } else if (each != ' ' && each != '-' && each != '.') {
      return bad_syntax;
    }
  }
  const std::size_t digits = canonical.size() - 1;
  if (digits > max_digits) return too_long;
  if (is_in_parentheses || digits < min_digits || canonical[1] == '0') return bad_syntax;
  return canonical;
}

}  // namespace pam::auth
