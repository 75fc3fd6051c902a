#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "db/database.hpp"
#include "server/auth/error.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// A report that administrators read: a materialized view, as old as maintenance lets it become.
enum class report : std::uint8_t { daily_sign_ups, daily_events, daily_sessions, active };

/// One page of a report: rows as JSON objects in the report's order, newest first.
struct report_page {
  std::vector<json_text> rows;
  /// Where the next page begins: the last row's key, as `page` takes it. Absent: there is none.
  std::optional<std::string> next;
};

/// The SQL of reports and of the administrators' search. Never on a request's critical path; reads a replica
/// where there is one.
class report_repository {
 public:
  explicit report_repository(db::database& database) : database_(database) {}

  /// @param after  the key of the last row seen, empty for the first page
  boost::asio::awaitable<result<report_page>> page(report which, std::string after, std::int32_t limit,
                                                   async::deadline deadline);

  /// Accounts whose user metadata contains an object, by id. @param after nil: from the first
  boost::asio::awaitable<result<std::vector<uuid>>> find_by_metadata(json_text part, uuid after,
                                                                     std::int32_t limit,
                                                                     async::deadline deadline);

  static std::span<const db::statement* const> statements();

 private:
  db::database& database_;
};

/// The name a report has in a path: "daily_sign_ups". @return nullopt for an unknown one
[[nodiscard]] std::optional<report> parse_report(std::string_view name);

}  // namespace pam::auth
