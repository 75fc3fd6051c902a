// GET /admin/audit, GET /admin/reports/{name}. Every route here begins with require_machine().
#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <boost/uuid/uuid_io.hpp>

#include "protocol/json_writer.hpp"
#include "protocol/objects.hpp"
#include "server/api/answers.hpp"
#include "server/api/machine.hpp"
#include "server/api/routes.hpp"

namespace pam::api {
namespace {

constexpr std::int32_t default_page = 50;
constexpr std::int32_t longest_page = 1'000;

void answer_invalid(service& application, net::request_context& request, std::string_view detail) {
  protocol::problem what;
  what.code = &protocol::codes::validation_failed;
  what.detail = detail;
  answer(application, request, std::move(what));
}

std::optional<std::int64_t> as_number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<auth::uuid> as_uuid(std::string_view text) {
  return protocol::parse_uuid(text);
}

/// Reads one optional query value. @return false when it is there and makes no sense
template <class Target, class Read>
bool take(const net::request_context& request, std::string_view name, Target& into, Read read) {
  const auto value = request.query_value(name);
  if (value.empty()) return true;
  auto got = read(std::string_view{value});
  if (!got) return false;
  into = std::move(*got);
  return true;
}

constexpr std::int64_t year_9999 = 253'402'300'799;  // the last second PostgreSQL and we agree on

std::optional<auth::timestamp> as_seconds(std::string_view text) {
  const auto value = as_number(text);
  if (!value || *value < 0 || *value > year_9999) return std::nullopt;
  return auth::timestamp{std::chrono::seconds{*value}};
}

/// "1763941200000000_018f...": microseconds and id of the last event of the page before.
std::optional<auth::audit_position> as_position(std::string_view text) {
  const std::size_t bar = text.find('_');
  if (bar == std::string_view::npos) return std::nullopt;
  const auto when = as_number(text.substr(0, bar));
  const auto id = as_uuid(text.substr(bar + 1));
  if (!when || !id || *when < 0 || *when / 1'000'000 > year_9999) return std::nullopt;
  return auth::audit_position{auth::timestamp{std::chrono::microseconds{*when}}, *id};
}

std::optional<std::int32_t> as_limit(std::string_view text) {
  const auto value = as_number(text);
  if (!value || *value < 1 || *value > longest_page) return std::nullopt;
  return static_cast<std::int32_t>(*value);
}

std::optional<bool> as_boolean(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return std::nullopt;
}

/// What PostgreSQL would refuse is refused here: a wrong value must not reach a shared batch.
std::optional<std::string> as_kind(std::string_view text) {
  const auto is_part = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
  if (text.size() > 40 || !std::ranges::all_of(text, is_part)) return std::nullopt;
  return std::string{text};
}

bool is_day(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  const auto year = as_number(text.substr(0, 4));
  const auto month = as_number(text.substr(5, 2));
  const auto day = as_number(text.substr(8, 2));
  if (!year || !month || !day || *year < 1 || *month < 1 || *day < 1) return false;
  return std::chrono::year_month_day{std::chrono::year{static_cast<int>(*year)},
                                     std::chrono::month{static_cast<unsigned>(*month)},
                                     std::chrono::day{static_cast<unsigned>(*day)}}
      .ok();
}

/// True for a key that a page of this report could have ended with.
bool is_cursor_of(auth::report which, std::string_view text) {
  if (text.empty()) return true;
  if (which == auth::report::daily_sign_ups) return is_day(text);
  if (which == auth::report::active) {
    const auto days = as_number(text);
    return days && *days > 0 && *days < 10'000;
  }
  std::vector<std::string_view> parts;
  for (std::size_t bar = text.find('|'); bar != std::string_view::npos; bar = text.find('|')) {
    parts.push_back(text.substr(0, bar));
    text.remove_prefix(bar + 1);
  }
  parts.push_back(text);
  if (!is_day(parts.front()) || !as_uuid(parts.back())) return false;
  if (which == auth::report::daily_sessions) return parts.size() == 2;
  const auto is_country = [](std::string_view code) {
    return code == "??" ||
           (code.size() == 2 && std::ranges::all_of(code, [](char c) { return c >= 'A' && c <= 'Z'; }));
  };
  return parts.size() == 5 && as_kind(parts[1]) && (parts[2] == "t" || parts[2] == "f") &&
         is_country(parts[3]);
}

struct audit_query {
  auth::audit_filter which;
  std::optional<auth::uuid> account;
};

/// @return nullopt with the name of the member that makes no sense in `wrong`
std::optional<audit_query> read_query(const net::request_context& request, std::string_view& wrong) {
  audit_query asked;
  asked.which.after = auth::clock_now() - std::chrono::days{31};
  asked.which.before = auth::clock_now() + std::chrono::minutes{1};
  asked.which.limit = default_page;
  if (!take(request, "account_id", asked.account, as_uuid)) wrong = "account_id must be a UUID";
  if (!take(request, "kind", asked.which.kind, as_kind)) wrong = "kind must be lower case words";
  if (!take(request, "success", asked.which.success, as_boolean)) wrong = "success must be true or false";
  if (!take(request, "after", asked.which.after, as_seconds)) wrong = "after must be Unix seconds";
  if (!take(request, "before", asked.which.before, as_seconds)) wrong = "before must be Unix seconds";
  if (!take(request, "cursor", asked.which.position, as_position))
    wrong = "cursor must be a next_cursor of ours";
  if (!take(request, "limit", asked.which.limit, as_limit)) wrong = "limit must be from 1 to 1000";
  if (!wrong.empty()) return std::nullopt;
  return asked;
}

void write_optional(protocol::json_writer& json, std::string_view name,
                    const std::optional<std::string>& value) {
  if (value) json.member(name, *value);
}

void write_event(protocol::json_writer& json, const auth::audit_row& row) {
  json.begin_object();
  json.member("id", boost::uuids::to_string(row.id));
  json.member("account_id", boost::uuids::to_string(row.account));
  json.member("occurred_at", protocol::to_rfc3339(row.occurred_at));
  json.member("kind", row.kind);
  json.key("success");
  json.boolean(row.success);
  if (row.session) json.member("session_id", boost::uuids::to_string(*row.session));
  write_optional(json, "ip", row.ip);
  write_optional(json, "country", row.country);
  write_optional(json, "request_id", row.request_id);
  write_optional(json, "actor", row.actor);
  json.key("detail");
  json.raw(row.detail);
  json.end_object();
}

void write_pagination(protocol::json_writer& json, const std::optional<std::string>& next) {
  json.key("pagination");
  json.begin_object();
  if (next) json.member("next_cursor", *next);
  json.key("has_more");
  json.boolean(next.has_value());
  json.end_object();
}

}  // namespace

boost::asio::awaitable<void> get_audit(service& application, net::request_context& request) {
  const auto caller = require_machine(application, request);
  if (!caller) co_return;
  std::string_view wrong;
  const auto asked = read_query(request, wrong);
  if (!asked) {
    answer_invalid(application, request, wrong);
    co_return;
  }
  auth::result<std::vector<auth::audit_row>> found = std::vector<auth::audit_row>{};
  if (asked->account) {
    found =
        co_await application.accounts().audit().of_account(*asked->account, asked->which, request.deadline);
  } else {
    found = co_await application.accounts().audit().of_all(asked->which, request.deadline);
  }
  if (found.has_error()) {
    answer_error(application, request, found.error(), origin::other);
    co_return;
  }
  std::string body;
  protocol::json_writer json{body};
  json.begin_object();
  json.key("events");
  json.begin_array();
  for (const auth::audit_row& row : *found) write_event(json, row);
  json.end_array();
  std::optional<std::string> next;
  if (found->size() == static_cast<std::size_t>(asked->which.limit))
    next = std::to_string(found->back().occurred_at.time_since_epoch().count()) + "_" +
           boost::uuids::to_string(found->back().id);
  write_pagination(json, next);
  json.end_object();
  answer_json(request, std::move(body));
}

boost::asio::awaitable<void> get_report(service& application, net::request_context& request) {
  const auto caller = require_machine(application, request);
  if (!caller) co_return;
  const auto which = auth::parse_report(request.path_parameters[0]);
  if (!which) {
    protocol::problem what;
    what.code = &protocol::codes::not_found;
    what.detail = "There are daily_sign_ups, daily_events, daily_sessions and active.";
    answer(application, request, std::move(what));
    co_return;
  }
  std::int32_t limit = default_page;
  if (!take(request, "limit", limit, as_limit)) {
    answer_invalid(application, request, "limit must be from 1 to 1000");
    co_return;
  }
  std::string cursor = request.query_value("cursor");
  if (!is_cursor_of(*which, cursor)) {
    answer_invalid(application, request, "cursor must be a next_cursor of ours");
    co_return;
  }
  auto page =
      co_await application.accounts().reports().page(*which, std::move(cursor), limit, request.deadline);
  if (page.has_error()) {
    answer_error(application, request, page.error(), origin::other);
    co_return;
  }
  std::string body;
  protocol::json_writer json{body};
  json.begin_object();
  json.key("rows");
  json.begin_array();
  for (const auth::json_text& row : page->rows) json.raw(row);
  json.end_array();
  write_pagination(json, page->next);
  json.end_object();
  answer_json(request, std::move(body));
}

}  // namespace pam::api
