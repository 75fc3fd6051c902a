#pragma once

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "server/crypto/digest.hpp"

namespace pam::auth {

/// Knows whether a password stands in a collection of stolen ones. Somebody else's service answers, so it may
/// not: then nothing is known against the password.
class breach_check {
 public:
  virtual ~breach_check() = default;
  /// @param password  SHA-1 of the normalised password: the form in which such collections are asked. No more
  ///                  than its first 20 bits leave the process
  /// @return whether it is known to be stolen; false as well when nobody can tell within the check's own
  /// limit
  ///         or the deadline
  /// Called on any shard; the answer comes on that shard.
  virtual boost::asio::awaitable<bool> is_stolen(crypto::sha1_digest password, async::deadline deadline) = 0;
};

}  // namespace pam::auth
