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
  json.end_array();
}

void write(json_writer& json, const trace_span& span) {
  constexpr std::int64_t kind_server = 2;
  constexpr std::int64_t status_error = 2;
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
  json.member("startTimeUnixNano", unix_nanoseconds(span.began));
  json.member("endTimeUnixNano",
              unix_nanoseconds(span.began + std::chrono::duration_cast<std::chrono::system_clock::duration>(
                                                span.duration)));
  write_attributes(json, span);
  // Semantic conventions of HTTP: only 5xx, and an answer nobody took, is a server's error.
  if (span.status >= 500 || !span.was_sent) {
    json.key("status");
    json.begin_object();
    json.key("code");
    json.integer(status_error);
    json.end_object();
  }
  json.end_object();
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
