#include "server/crypto/error.hpp"

#include <stdexcept>

namespace pam::crypto {

std::string_view to_string(errc code) {
  switch (code) {
    case errc::queue_full:
      return "queue_full";
    case errc::deadline:
      return "deadline";
    case errc::closed:
      return "closed";
    case errc::bad_hash:
      return "bad_hash";
    case errc::bad_key:
      return "bad_key";
    case errc::bad_token:
      return "bad_token";
    case errc::unknown_key:
      return "unknown_key";
    case errc::expired:
      return "expired";
    case errc::failure:
      return "failure";
  }
  return "failure";
}

void throw_exception_from_error(const error& failure, const boost::source_location& where) {
  // Only a caller that took a value without looking gets here: a bug, so the place is what matters.
  throw std::logic_error(std::string("crypto result without a value (") +
                         std::string(to_string(failure.code)) + ") read at " + where.file_name() + ":" +
                         std::to_string(where.line()));
}

}  // namespace pam::crypto
