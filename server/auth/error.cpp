#include "server/auth/error.hpp"

#include <stdexcept>

namespace pam::auth {

error from_database(const db::error& failure) {
  error mapped;
  mapped.detail = failure.detail;
  mapped.may_have_happened = failure.outcome == db::outcome::unknown;
  switch (failure.code) {
    case db::errc::queue_full:
      mapped.code = errc::overloaded;
      mapped.reason = "database_queue";
      break;
    case db::errc::deadline:
      mapped.code = errc::unavailable;
      mapped.reason = "database_deadline";
      break;
    case db::errc::rejected:
      // Locks and failovers pass; anything else the server refuses is a statement of ours that is wrong.
      if (failure.sqlstate == "55P03" || failure.sqlstate == "57014" || failure.sqlstate == "25006" ||
          failure.is_class("40") || failure.is_class("53") || failure.is_class("57") ||
          failure.is_class("08")) {
        mapped.code = errc::unavailable;
        mapped.reason = "database_busy";
      } else {
        mapped.code = errc::internal;
        mapped.reason = "database_rejected";
        mapped.detail = failure.sqlstate + " " + failure.constraint + " " + failure.detail;
      }
      break;
    case db::errc::closed:
    case db::errc::unavailable:
    case db::errc::connection:
    case db::errc::protocol:
      mapped.code = errc::unavailable;
      mapped.reason = "database_unavailable";
      break;
  }
  return mapped;
}

error from_crypto(const crypto::error& failure) {
  error mapped;
  mapped.detail = failure.detail;
  mapped.retry_after = failure.retry_after;
  switch (failure.code) {
    case crypto::errc::queue_full:
      mapped.code = errc::overloaded;
      mapped.reason = "hash_queue";
      break;
    case crypto::errc::deadline:
      mapped.code = errc::overloaded;
      mapped.reason = "hash_deadline";
      break;
    case crypto::errc::closed:
      mapped.code = errc::unavailable;
      mapped.reason = "shutting_down";
      break;
    case crypto::errc::bad_hash:
      // A stored hash we cannot verify is, to its owner, a wrong password; the log says why.
      mapped.code = errc::invalid_credentials;
      break;
    case crypto::errc::bad_key:
    case crypto::errc::bad_token:
    case crypto::errc::unknown_key:
    case crypto::errc::expired:
    case crypto::errc::failure:
      mapped.code = errc::internal;
      mapped.reason = "crypto";
      break;
  }
  return mapped;
}

void throw_exception_from_error(const error& failure, const boost::source_location&) {
  throw std::runtime_error("auth: " + failure.detail);
}

}  // namespace pam::auth
