#include "db/error.hpp"

namespace pam::db {

std::string_view to_string(errc code) {
  switch (code) {
    case errc::queue_full:
      return "queue_full";
    case errc::deadline:
      return "deadline";
    case errc::closed:
      return "closed";
    case errc::unavailable:
      return "unavailable";
    case errc::connection:
      return "connection";
    case errc::rejected:
      return "rejected";
    case errc::protocol:
      return "protocol";
  }
  return "unknown";
}

std::string_view to_string(outcome value) {
  switch (value) {
    case outcome::not_sent:
      return "not_sent";
    case outcome::unknown:
      return "unknown";
    case outcome::executed:
      return "executed";
  }
  return "unknown";
}

}  // namespace pam::db
