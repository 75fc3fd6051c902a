#include "server/cli/audit_export.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <thread>

#include "protocol/json_writer.hpp"

namespace pam::cli {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr microseconds first_window = std::chrono::minutes{15};
constexpr microseconds longest_window = std::chrono::days{32};
constexpr microseconds shortest_window = std::chrono::seconds{1};
constexpr int most_tries = 10;

/// What GET /admin/audit shows of an event, under the names it shows it by.
namespace field {
enum : std::size_t {
  id,
  account_id,
  occurred_at,
  kind,
  success,
  session_id,
  ip,
  country,
  request_id,
  actor,
  detail,
  count
};
}  // namespace field
constexpr std::array<std::string_view, field::count> names{
    "id", "account_id", "occurred_at", "kind",  "success", "session_id",
    "ip", "country",    "request_id",  "actor", "detail"};
constexpr const char* columns =
    "e.id, e.account_id, to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), "
    "e.kind, e.success, e.session_id, host(e.ip), e.country, e.request_id, e.actor, e.detail";

/// The conditions of an export, without its position.
class conditions {
 public:
  explicit conditions(const export_request& wanted) {
    add("e.occurred_at >= $::timestamptz", protocol::to_rfc3339(wanted.from));
    add("e.occurred_at < $::timestamptz", protocol::to_rfc3339(wanted.to));
    if (wanted.account) add("e.account_id = $::uuid", protocol::to_string(*wanted.account));
    if (wanted.kind) add("e.kind = $", *wanted.kind);
    if (wanted.success) add("e.success = $::boolean", *wanted.success ? "t" : "f");
  }
  void add(std::string_view condition, std::string value) {
    parameters_.emplace_back(std::move(value));
    text_ += text_.empty() ? "" : " AND ";
    const std::size_t mark = condition.find('$') + 1;
    text_.append(condition.substr(0, mark)).append(std::to_string(parameters_.size()));
    text_.append(condition.substr(mark));
  }
  void add_after(const export_position& at) {
    const std::size_t first = parameters_.size();
    parameters_.insert(parameters_.end(), {protocol::to_rfc3339(at.occurred_at), protocol::to_string(at.id),
                                           protocol::to_string(at.account)});
    text_ += " AND (e.occurred_at, e.id, e.account_id) > ($" + std::to_string(first + 1) +
             "::timestamptz, $" + std::to_string(first + 2) + "::uuid, $" + std::to_string(first + 3) +
             "::uuid)";
  }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::vector<db::text_value>& parameters() const { return parameters_; }

 private:
  std::string text_;
  std::vector<db::text_value> parameters_;
};

void append_json(std::string& out, const db::text_row& row) {
  protocol::json_writer json{out};
  json.begin_object();
  for (std::size_t i = 0; i < field::count; ++i) {
    if (!row[i]) continue;
    json.key(names[i]);
    if (i == field::success) {
      json.boolean(*row[i] == "t");
    } else if (i == field::detail) {
      json.raw(*row[i]);
    } else {
      json.text(*row[i]);
    }
  }
  json.end_object();
  out += '\n';
}

void append_csv(std::string& out, std::string_view value) {
  if (value.find_first_of("\",\r\n") == std::string_view::npos) {
    out += value;
    return;
  }
  out += '"';
  for (const char c : value) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

void append_csv(std::string& out, const db::text_row& row) {
  for (std::size_t i = 0; i < field::count; ++i) {
    if (i > 0) out += ',';
    if (!row[i]) continue;
    append_csv(out, i == field::success ? std::string_view{*row[i] == "t" ? "true" : "false"} : *row[i]);
  }
  out += '\n';
}

std::string header() {
  std::string line;
  for (const std::string_view name : names) line.append(line.empty() ? "" : ",").append(name);
  return line + "\n";
}

migration_error failed(const db::error& failure) {
  if (failure.code != db::errc::rejected)
    return {migration_errc::connection, "The connection was lost: " + failure.detail + "."};
  if (failure.sqlstate == "42P01")
    return {migration_errc::failed, "This database has no audit log: run `pam-auth migrate up` first."};
  if (failure.sqlstate == "42501")
    return {migration_errc::failed,
            "This role may not read auth_events: sign in as pam_report or pam_owner (--role)."};
  return {migration_errc::failed,
          "The audit log could not be read: " + failure.detail + " (SQLSTATE " + failure.sqlstate + ")."};
}

/// One export on its way.
class exporter {
 public:
  exporter(db::admin_connection& connection, const export_connector& reconnect, const export_request& wanted,
           const export_sink& sink, const export_listener& listener, export_report& report)
      : connection_(connection),
        reconnect_(reconnect),
        wanted_(wanted),
        sink_(sink),
        listener_(listener),
        report_(report),
        from_(wanted.after ? std::max(wanted.from, wanted.after->occurred_at) : wanted.from),
        window_(wanted.account ? longest_window * 10'000 : first_window) {}

  migration_result<void> run();

 private:
  migration_result<void> check();
  [[nodiscard]] std::string settings() const {
    return "SET default_transaction_read_only = on; SET statement_timeout = " +
           std::to_string(milliseconds{wanted_.statement_limit}.count());
  }
  db::result<db::text_rows> read(const export_query& what);
  migration_result<db::text_rows> next_page();
  migration_result<bool> take(const db::text_rows& page);

  db::admin_connection& connection_;
  const export_connector& reconnect_;
  const export_request& wanted_;
  const export_sink& sink_;
  const export_listener& listener_;
  export_report& report_;
  protocol::timestamp from_;
  protocol::timestamp until_{};  ///< the end of the window that was read last
  microseconds window_;
  std::int64_t estimated_ = 0;
  steady_clock::time_point begin_ = steady_clock::now();
};

/// Whether the log can be read, and how much of it there is by the planner's statistics. Settings of a
/// session would meet strangers behind a pooler.
migration_result<void> exporter::check() {
  const auto self = read({"SELECT pg_backend_pid()", {}});
  if (self.has_error()) return failed(self.error());
  if (self->values[0][0] != std::to_string(connection_.backend_pid()))
    return migration_error{migration_errc::unsuitable,
                           "This connection goes through a pooler: name PostgreSQL itself (migrate.host and "
                           "migrate.port, or --host and --port)."};
  const auto set = connection_.run(settings());
  if (set.has_error()) return failed(set.error());
  const conditions all{wanted_};
  const auto plan = read(
      {"EXPLAIN (FORMAT JSON) SELECT 1 FROM public.auth_events AS e WHERE " + all.text(), all.parameters()});
  if (plan.has_error()) return failed(plan.error());
  const std::string text = plan->values[0][0].value_or("");
  constexpr std::string_view rows = "\"Plan Rows\": ";
  if (const std::size_t at = text.find(rows); at != std::string::npos)
    std::from_chars(text.data() + at + rows.size(), text.data() + text.size(), estimated_);
  return {};
}

/// A standby cancels what its replay would have to wait for (40001), or ends the whole session when the
/// cancel meets it between two messages: that is asked again.
db::result<db::text_rows> exporter::read(const export_query& what) {
  for (int tries = 1;; ++tries) {
    auto rows = connection_.query(what.sql, what.parameters);
    const bool is_lost = !connection_.is_open();
    const bool is_worth_a_try =
        is_lost ? reconnect_ != nullptr : rows.has_error() && rows.error().sqlstate == "40001";
    if (!is_worth_a_try || tries == most_tries) return rows;
    std::this_thread::sleep_for(milliseconds{100 * tries});
    if (!is_lost) continue;
    auto again = reconnect_();
    if (again.has_error()) continue;
    connection_ = std::move(*again);
    static_cast<void>(connection_.run(settings()));  // a failure shows at the next query
  }
}

/// The events after the last one, of a window that begins at `from_`; sets `until_`. A window that takes too
/// long to read (57014) is made shorter.
migration_result<db::text_rows> exporter::next_page() {
  for (;;) {
    export_request part = wanted_;
    part.from = from_;
    part.to = until_ = wanted_.to - from_ > window_ ? from_ + window_ : wanted_.to;
    if (report_.last) part.after = report_.last;
    auto page = read(page_query(part));
    if (page.has_value()) return std::move(*page);
    if (page.error().sqlstate != "57014" || window_ <= shortest_window) return failed(page.error());
    window_ = std::max(shortest_window, std::min(window_, until_ - from_) / 8);
  }
}

/// @return false when the listener wants no more
migration_result<bool> exporter::take(const db::text_rows& page) {
  if (page.empty()) return true;
  std::string text;
  for (const db::text_row& row : page.values) {
    if (wanted_.format == export_format::csv) {
      append_csv(text, row);
    } else {
      append_json(text, row);
    }
  }
  const db::text_row& last = page.values.back();
  const auto when = protocol::parse_rfc3339(last[field::occurred_at].value_or(""));
  const auto event = protocol::parse_uuid(last[field::id].value_or(""));
  const auto account = protocol::parse_uuid(last[field::account_id].value_or(""));
  if (!when || !event || !account)
    return migration_error{migration_errc::failed,
                           "An event of the audit log has no time that a date can say."};
  if (const std::string why = sink_(text); !why.empty()) return migration_error{migration_errc::failed, why};
  report_.last = export_position{*when, *event, *account};
  report_.events += static_cast<std::int64_t>(page.size());
  const row_progress at{.name = "audit export",
                        .done = report_.events,
                        .estimated = estimated_,
                        .taken = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin_)};
  return !listener_ || listener_(at, *report_.last);
}

migration_result<void> exporter::run() {
  const auto ready = check();
  if (ready.has_error()) return ready.error();
  if (wanted_.format == export_format::csv && !wanted_.after) {
    if (const std::string why = sink_(header()); !why.empty())
      return migration_error{migration_errc::failed, why};
  }
  while (from_ < wanted_.to) {
    const auto page = next_page();
    if (page.has_error()) return page.error();
    const auto goes_on = take(*page);
    if (goes_on.has_error()) return goes_on.error();
    if (!*goes_on) return {};
    const auto wanted = static_cast<std::size_t>(wanted_.page);
    if (page->size() == wanted) {
      // As long as these events took: about one page more.
      if (!wanted_.account)
        window_ = std::clamp<microseconds>((report_.last->occurred_at - from_) * 2, shortest_window, window_);
      from_ = report_.last->occurred_at;
    } else {
      from_ = until_;
      if (page->size() < wanted / 4) window_ = std::min(window_ * 4, std::max(window_, longest_window));
    }
  }
  report_.is_complete = true;
  return {};
}

}  // namespace

std::string to_string(const export_position& at) {
  return protocol::to_rfc3339(at.occurred_at) + "_" + protocol::to_string(at.id) + "_" +
         protocol::to_string(at.account);
}

std::optional<export_position> parse_export_position(std::string_view text) {
  const std::size_t first = text.find('_');
  const std::size_t second = first == std::string_view::npos ? first : text.find('_', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const auto when = protocol::parse_rfc3339(text.substr(0, first));
  const auto event = protocol::parse_uuid(text.substr(first + 1, second - first - 1));
  const auto account = protocol::parse_uuid(text.substr(second + 1));
  if (!when || !event || !account) return std::nullopt;
  return export_position{*when, *event, *account};
}

std::optional<protocol::timestamp> parse_moment(std::string_view text) {
  return protocol::parse_rfc3339(text.size() == 10 ? std::string{text} + "T00:00:00Z" : std::string{text});
}

export_query page_query(const export_request& wanted) {
  conditions all{wanted};
  if (wanted.after) all.add_after(*wanted.after);
  return {"SELECT " + std::string{columns} + " FROM public.auth_events AS e WHERE " + all.text() +
              " ORDER BY e.occurred_at, e.id, e.account_id LIMIT " + std::to_string(wanted.page),
          all.parameters()};
}

migration_result<void> export_audit(db::admin_connection& connection, const export_connector& reconnect,
                                    const export_request& wanted, const export_sink& sink,
                                    const export_listener& listener, export_report& report) {
  return exporter{connection, reconnect, wanted, sink, listener, report}.run();
}

}  // namespace pam::cli
