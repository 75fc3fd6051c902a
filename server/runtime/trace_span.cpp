#include "server/runtime/trace_span.hpp"

#include <algorithm>

#include "protocol/json_writer.hpp"
#include "protocol/trace_context.hpp"

namespace pam::runtime {
namespace {

using protocol::json_writer;

void text_attribute(json_writer& json, std::string_view key, std::string_view value) {
  json.begin_object();
  json.member("key", key);
  json.key("value");
  json.begin_object();
  json.member("stringValue", value);
  json.end_object();
  json.end_object();
}

// OTLP's JSON carries 64-bit integers as strings.
void number_attribute(json_writer& json, std::string_view key, std::int64_t value) {
  json.begin_object();
  json.member("key", key);
  json.key("value");
  json.begin_object();
  json.member("intValue", std::to_string(value));
  json.end_object();
  json.end_object();
}

std::int64_t microseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

std::string unix_nanoseconds(std::chrono::system_clock::time_point time) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count());
}

void write_attributes(json_writer& json, const trace_span& span) {
  json.key("attributes");
  json.begin_array();
  text_attribute(json, "http.request.method", span.method);
  if (!span.route.empty()) text_attribute(json, "http.route", span.route);
  number_attribute(json, "http.response.status_code", span.status);
  text_attribute(json, "pam.request_id", {span.request_id.data(), span.request_id.size()});
  number_attribute(json, "pam.statements", span.costs.statements);
  number_attribute(json, "pam.database_queue_us", microseconds(span.costs.database_queue));
  number_attribute(json, "pam.database_us", microseconds(span.costs.database));
  number_attribute(json, "pam.hashes", span.costs.hashes);
  number_attribute(json, "pam.hash_queue_us", microseconds(span.costs.hash_queue));
  number_attribute(json, "pam.hash_us", microseconds(span.costs.hash));
  if (span.dropped_children != 0) number_attribute(json, "pam.dropped_spans", span.dropped_children);
  json.end_array();
}

void write_times(json_writer& json, std::chrono::system_clock::time_point began,
                 std::chrono::nanoseconds duration) {
  using std::chrono::duration_cast;
  json.member("startTimeUnixNano", unix_nanoseconds(began));
  json.member("endTimeUnixNano",
              unix_nanoseconds(began + duration_cast<std::chrono::system_clock::duration>(duration)));
}

void write_error(json_writer& json) {
  constexpr std::int64_t status_error = 2;
  json.key("status");
  json.begin_object();
  json.key("code");
  json.integer(status_error);
  json.end_object();
}

// OpenTelemetry's semantic conventions for databases. The text of a statement stays here: its summary and
// its prepared name, which stands in the server's own log and in pg_prepared_statements, find it.
void write_attributes(json_writer& json, const async::call_step& step) {
  json.key("attributes");
  json.begin_array();
  if (step.what == async::call_step::kind::statement) {
    text_attribute(json, "db.system.name", "postgresql");
    text_attribute(json, "db.query.summary", step.name);
    if (!step.id.empty()) text_attribute(json, "pam.statement", step.id);
    if (step.sqlstate[0] != '\0') {
      text_attribute(json, "db.response.status_code", {step.sqlstate.data(), step.sqlstate.size()});
    }
  }
  if (!step.failure.empty()) text_attribute(json, "error.type", step.failure);
  number_attribute(json, "pam.queue_us", microseconds(step.began - step.asked));
  number_attribute(json, "pam.work_us", microseconds(step.ended - step.began));
  json.end_array();
}

void write(json_writer& json, const child_span& child, const trace_span& parent) {
  constexpr std::int64_t kind_internal = 1;
  constexpr std::int64_t kind_client = 3;
  const async::call_step& step = child.step;
  json.begin_object();
  json.member("traceId", protocol::to_hex(parent.trace_id));
  json.member("spanId", protocol::to_hex(child.span_id));
  json.member("parentSpanId", protocol::to_hex(parent.span_id));
  if (!parent.trace_state.empty()) json.member("traceState", parent.trace_state);
  json.key("flags");
  json.integer(1);
  json.member("name", step.name);
  json.key("kind");
  json.integer(step.what == async::call_step::kind::statement ? kind_client : kind_internal);
  write_times(json,
              parent.began + std::chrono::duration_cast<std::chrono::system_clock::duration>(child.after),
              step.ended - step.asked);
  write_attributes(json, step);
  if (!step.failure.empty()) write_error(json);
  json.end_object();
}

void write(json_writer& json, const trace_span& span) {
  constexpr std::int64_t kind_server = 2;
  const bool has_parent = span.parent_id != decltype(span.parent_id){};
  json.begin_object();
  json.member("traceId", protocol::to_hex(span.trace_id));
  json.member("spanId", protocol::to_hex(span.span_id));
  if (has_parent) json.member("parentSpanId", protocol::to_hex(span.parent_id));
  if (!span.trace_state.empty()) json.member("traceState", span.trace_state);
  json.key("flags");
  json.integer(1);
  json.member("name", span.route.empty() ? std::string{span.method}
                                         : std::string{span.method} + " " + std::string{span.route});
  json.key("kind");
  json.integer(kind_server);
  write_times(json, span.began, span.duration);
  write_attributes(json, span);
  // Semantic conventions of HTTP: only 5xx, and an answer nobody took, is a server's error.
  if (span.status >= 500 || !span.was_sent) write_error(json);
  json.end_object();
  for (const child_span& child : span.children) write(json, child, span);
}

}  // namespace

std::string encode_otlp(std::span<const trace_span> spans) {
  std::string out;
  out.reserve(256 + 1024 * spans.size());
  json_writer json{out};
  json.begin_object();
  json.key("resourceSpans");
  json.begin_array();
  json.begin_object();
  json.key("resource");
  json.begin_object();
  json.key("attributes");
  json.begin_array();
  text_attribute(json, "service.name", "pam-auth");
  json.end_array();
  json.end_object();
  json.key("scopeSpans");
  json.begin_array();
  json.begin_object();
  json.key("scope");
  json.begin_object();
  json.member("name", "pam-auth");
  json.end_object();
  json.key("spans");
  json.begin_array();
  for (const trace_span& each : spans) write(json, each);
  json.end_array();
  json.end_object();
  json.end_array();
  json.end_object();
  json.end_array();
  json.end_object();
  return out;
}

}  // namespace pam::runtime
