#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "db/database.hpp"
#include "server/auth/error.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// One line of the audit log, to be written. Events of sign-up, sign-in, changes and endings of sessions are
/// written by those statements themselves, in their transaction.
struct audit_event {
  uuid account{};  ///< or `subject_id` of somebody unknown
  timestamp occurred_at{};
  std::string kind;  ///< lower case words, "refresh_repeated"
  uuid id{};         ///< nil: a fresh one; the same account, moment and id are written once
  bool success = true;
  std::optional<uuid> session;
  client_place place;
  std::string actor;        ///< empty: the account itself
  json_text detail = "{}";  ///< an object, never a secret, an address or a token
};

/// One line of the audit log, as it was written.
struct audit_row {
  uuid account{};
  timestamp occurred_at{};
  uuid id{};
  std::string kind;
  bool success = true;
  std::optional<uuid> session;
  std::optional<std::string> ip;
  std::optional<std::string> country;
  std::optional<std::string> request_id;
  std::optional<std::string> actor;
  json_text detail;
};

/// Where a page of the log begins: right before this event (newest first).
struct audit_position {
  timestamp occurred_at{};
  uuid id{};
};

/// Which events are asked for. Absent members ask for all.
struct audit_filter {
  timestamp after{};   ///< not older than
  timestamp before{};  ///< older than
  std::optional<audit_position> position;
  std::optional<std::string> kind;
  std::optional<bool> success;
  std::int32_t limit = 50;
};

/// A rectangle of degrees; longitude first, as the column `geo` has it.
struct geo_box {
  double west = 0;
  double south = 0;
  double east = 0;
  double north = 0;
};

/// The SQL of `auth_events`.
class audit_repository {
 public:
  explicit audit_repository(db::database& database) : database_(database) {}

  boost::asio::awaitable<result<void>> record(audit_event what, async::deadline deadline);

  /// Records a failure unless the account has had `failures_a_minute` of them in the last minute: a guessing
  /// attack must not become a write storm. Costs the same for every subject, known or not.
  /// @return false when it was left out
  boost::asio::awaitable<result<bool>> record_failure(audit_event what, async::deadline deadline);

  /// An account's events, newest first. May run on a replica.
  boost::asio::awaitable<result<std::vector<audit_row>>> of_account(uuid account, audit_filter which,
                                                                    async::deadline deadline);
  /// Everybody's, newest first. Looks back in windows that grow (a BRIN index finds a window's blocks), so
  /// that a page of a busy day reads minutes, not months. May run on a replica.
  boost::asio::awaitable<result<std::vector<audit_row>>> of_all(audit_filter which, async::deadline deadline);
  /// Events within a rectangle, newest first.
  boost::asio::awaitable<result<std::vector<audit_row>>> within(geo_box where, audit_filter which,
                                                                async::deadline deadline);
  /// Events nearest to a point, nearest first; `which.limit` and its times are obeyed.
  boost::asio::awaitable<result<std::vector<audit_row>>> nearest(double longitude, double latitude,
                                                                 audit_filter which,
                                                                 async::deadline deadline);

  static std::span<const db::statement* const> statements();

 private:
  db::database& database_;
};

/// Failures of one account that are written a minute; more are counted in metrics only.
inline constexpr std::int32_t failures_a_minute = 20;

}  // namespace pam::auth
