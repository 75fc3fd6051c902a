#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include <boost/system/result.hpp>

#include "db/error.hpp"
#include "server/crypto/error.hpp"

namespace pam::auth {

/// What the domain answers when it does not answer with a value.
enum class errc {
  invalid_credentials,  ///< unknown subject, wrong or missing password: one answer for all
  email_invalid,        ///< the address cannot be canonicalised; `detail` says why
  email_not_confirmed,  ///< right password, address not yet confirmed
  account_exists,       ///< the address is claimed
  account_not_found,    ///< the account of a token is gone
  account_banned,
  session_not_found,        ///< never existed, or ended
  session_expired,          ///< idle or absolute end reached
  refresh_token_not_found,  ///< not genuine, or its salt is not the session's
  refresh_token_reused,     ///< theft: the session has just been ended
  weak_password,            ///< `reasons` says how
  same_password,
  current_password_required,
  current_password_invalid,
  metadata_too_large,
  signup_disabled,
  conflict,      ///< lost against a concurrent change; the caller may try again
  overloaded,    ///< a bounded queue is full; `reason` names the limit; nothing was done
  rate_limited,  ///< too many attempts; `retry_after` says when the next one is welcome
  unavailable,   ///< the database or a key is not usable now; `reason` names what
  internal,      ///< a bug; `detail` for logs
};

/// A failed domain call. `detail` is safe for clients only where the code's comment says so.
struct error {
  errc code = errc::internal;
  std::string_view reason = "";  ///< a literal: the limit or part that refused
  std::string detail;
  bool may_have_happened = false;         ///< unavailable: it was sent and its answer was lost
  std::chrono::seconds retry_after{0};    ///< rate_limited, and overloaded by hashing: at least 1
  std::vector<std::string_view> reasons;  ///< weak_password: length | characters | pwned
};

template <class T>
using result = boost::system::result<T, error>;

[[noreturn]] void throw_exception_from_error(const error& failure, const boost::source_location& where);

/// The one place where database failures become domain failures. A statement the server rejected is a
/// bug (`internal`); everything else is `overloaded` or `unavailable` and may be tried again.
[[nodiscard]] error from_database(const db::error& failure);

/// Likewise for hashing and keys.
[[nodiscard]] error from_crypto(const crypto::error& failure);

}  // namespace pam::auth
