#pragma once

#include <string>
#include <string_view>

namespace pam::protocol::detail {

enum class number_verdict {
  fine,
  malformed,     ///< no number of RFC 8259 section 6
  out_of_range,  ///< overflows double, or is not zero and underflows it
};

/// Judges the text of a JSON number.
[[nodiscard]] number_verdict judge_number(std::string_view token);

/// Appends the number as jsonb keeps and prints it: every digit, no exponent, and shortest (no zeros at
/// the end of a fraction, "0" for every zero). The exponent is written out because jsonb would do so too:
/// `1e308` is 5 bytes in a body and 309 in each token that carries it.
/// @param token  a number that was judged `fine`; the text grows by 330 bytes at most
void append_number(std::string& out, std::string_view token);

}  // namespace pam::protocol::detail
