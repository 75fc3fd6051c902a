#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "server/auth/subject_error.hpp"

namespace pam::auth {

inline constexpr std::size_t max_email_bytes = 255;
inline constexpr std::size_t max_local_part_bytes = 64;  ///< RFC 5321 section 4.5.3.1.1

/// The one form of an address that accounts are found by: outer white space removed, Unicode NFC, lower
/// case, the domain in A-labels (IDNA 2008, non-transitional). Idempotent.
///
/// The local part is a dot-atom (RFC 5321 section 4.1.2) that may hold UTF-8 letters, digits, marks and
/// symbols (RFC 6531). Quoted local parts, comments, address literals, domains of one label or with a
/// numeric top level, control and format characters are refused: nobody receives mail there, or the
/// address looks like another one.
///
/// Lower-casing the local part is the data model's rule: no provider tells two of its users apart by case.
[[nodiscard]] boost::system::result<std::string, subject_error> canonical_email(std::string_view text);

}  // namespace pam::auth
