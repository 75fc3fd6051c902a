#pragma once

#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "server/auth/subject_error.hpp"

namespace pam::auth {

/// The one form of a phone number that accounts are found by: E.164 with its plus sign, "+4930123456",
/// 7 to 15 digits, the first not 0 (ITU-T E.164 section 6).
///
/// A leading "+", "00" or nothing is understood alike, as GoTrue's clients send all of them; spaces, dots,
/// hyphens and balanced parentheses between digits are dropped. Numbers without a country code cannot be told
/// apart from those with one and are taken as they are. Idempotent.
[[nodiscard]] boost::system::result<std::string, subject_error> canonical_phone(std::string_view text);

}  // namespace pam::auth
