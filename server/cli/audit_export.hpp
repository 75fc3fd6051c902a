#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/uuid/uuid.hpp>

#include "db/admin_connection.hpp"
#include "protocol/objects.hpp"
#include "server/cli/migration_error.hpp"
#include "server/cli/progress_line.hpp"

namespace pam::cli {

/// An event's place in the order of an export: by time, then id, then account, oldest first.
struct export_position {
  protocol::timestamp occurred_at{};
  boost::uuids::uuid id{};
  boost::uuids::uuid account{};
};

/// "2026-11-26T13:00:00.123456Z_ID_ACCOUNT": what `--after` takes.
[[nodiscard]] std::string to_string(const export_position& at);
[[nodiscard]] std::optional<export_position> parse_export_position(std::string_view text);

/// A day ("2026-11-26", its first moment in UTC) or an RFC 3339 date-time.
[[nodiscard]] std::optional<protocol::timestamp> parse_moment(std::string_view text);

enum class export_format : std::uint8_t {
  jsonl,  ///< an object a line, with the members of GET /admin/audit
  csv,    ///< a header, then a line an event (RFC 4180, lines end with \n); what is absent is empty
};

/// Which events are exported, and how. Absent members ask for all.
struct export_request {
  protocol::timestamp from{};  ///< not older than
  protocol::timestamp to{};    ///< older than
  std::optional<export_position> after;
  std::optional<std::string> kind;
  std::optional<boost::uuids::uuid> account;
  std::optional<bool> success;
  export_format format = export_format::jsonl;
  int page = 2'000;                          ///< events a statement, and in memory
  std::chrono::seconds statement_limit{10};  ///< statement_timeout of a page
};

struct export_report {
  std::int64_t events = 0;
  std::optional<export_position> last;  ///< everything up to it was taken by the sink
  bool is_complete = false;             ///< false: the listener ended it
};

/// Takes the text of one page, all of it or none. @return why it could not; empty when it could
using export_sink = std::function<std::string(std::string_view)>;
/// Makes another connection of the same kind when one was lost. Empty: a lost one ends the export.
using export_connector = std::function<db::result<db::admin_connection>()>;
/// Told after each page. @return false to end there
using export_listener = std::function<bool(const row_progress&, const export_position&)>;

/// Streams the audit log, oldest first: what GET /admin/audit shows of an event, no other column. A page is a
/// read-only transaction of its own, so nothing on the server waits for an export that takes hours, a standby
/// can serve it, and one that ended goes on at `after`. Everybody's events are read in windows of time that
/// grow and shrink with what they hold (a BRIN index finds a window's blocks); an account's in the order of
/// the primary key. Pages that a standby's replay cancels are asked for again.
/// @param connection  PostgreSQL itself, never a pooler; any role that may read auth_events; is read-only
/// from
///                    then on; blocks
/// @param report      filled also when it fails: what was written until then is whole
[[nodiscard]] migration_result<void> export_audit(db::admin_connection& connection,
                                                  const export_connector& reconnect,
                                                  const export_request& wanted, const export_sink& sink,
                                                  const export_listener& listener, export_report& report);

/// The statement of a page with its parameters: events of [from, to), after `wanted.after`.
struct export_query {
  std::string sql;
  std::vector<db::text_value> parameters;
};
[[nodiscard]] export_query page_query(const export_request& wanted);

}  // namespace pam::cli
