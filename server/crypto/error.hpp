#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

namespace pam::crypto {

enum class errc {
  queue_full,   ///< the hash pool refused: its queue is full
  deadline,     ///< the hash did not start before the caller's deadline or the queue limit
  closed,       ///< the pool is closing
  bad_hash,     ///< a stored password hash has an unknown scheme or unacceptable costs
  bad_key,      ///< a key file is malformed; `detail` names file and member
  bad_token,    ///< a JWT failed a check; `detail` says which, for logs only
  unknown_key,  ///< a JWT or refresh token names a key we do not hold
  expired,      ///< a JWT's `exp` is in the past
  failure,      ///< OpenSSL or libsodium refused
};

struct error {
  errc code = errc::failure;
  std::string detail;                   ///< private diagnostics, never a secret
  std::chrono::seconds retry_after{0};  ///< queue_full, deadline: when there may be a thread; at least 1
};

template <class T>
using result = boost::system::result<T, error>;

/// Stable lower-case name of a code, for logs and metric labels.
[[nodiscard]] std::string_view to_string(errc code);

[[noreturn]] void throw_exception_from_error(const error& failure, const boost::source_location& where);

}  // namespace pam::crypto
