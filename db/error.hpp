#pragma once

#include <string>
#include <string_view>

namespace pam::db {

/// What went wrong, by what a caller can do about it.
enum class errc {
  queue_full,   ///< a bounded queue (pipeline or lease waiters) is full; nothing was sent
  deadline,     ///< the caller's deadline passed
  closed,       ///< the database object is closing
  unavailable,  ///< no connection, and none could be made before the deadline
  connection,   ///< the connection was lost while the statement was under way
  rejected,     ///< the server answered with an SQL error; see `sqlstate`
  protocol,     ///< libpq or the pooler broke the protocol; the connection was dropped
};

/// Whether the statement may have taken effect. The caller's retry rule follows from this alone.
enum class outcome {
  not_sent,  ///< certainly not executed: a retry is always safe
  unknown,   ///< sent, and its batch's Sync never came: executed and committed, or not
  executed,  ///< the server answered it (a `rejected` statement was rolled back)
};

/// A failed database call. `detail` is for logs only and may name tables and constraints; it never
/// contains parameters.
struct error {
  errc code = errc::protocol;
  pam::db::outcome outcome = outcome::unknown;
  std::string sqlstate;    ///< five characters when the server spoke, else empty
  std::string constraint;  ///< the violated constraint's name, if the server named one
  std::string detail;      ///< private diagnostics

  /// True for the SQLSTATE class (first two characters), e.g. "23" integrity constraint violation.
  [[nodiscard]] bool is_class(std::string_view two) const {
    return sqlstate.size() == 5 && sqlstate.starts_with(two);
  }
};

/// Stable lower-case name of a code, for logs and metric labels.
[[nodiscard]] std::string_view to_string(errc code);
[[nodiscard]] std::string_view to_string(outcome value);

}  // namespace pam::db
