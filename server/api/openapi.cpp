#include <algorithm>
#include <array>
#include <map>
#include <utility>
#include <vector>

#include "protocol/json_writer.hpp"
#include "server/api/descriptions.hpp"
#include "server/api/routes.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;
using protocol::json_writer;

/// What any route may answer: refusals of HTTP itself, limits, and failures of ours.
constexpr std::array common_errors{&codes::bad_request,
                                   &codes::not_found,
                                   &codes::method_not_allowed,
                                   &codes::request_entity_too_large,
                                   &codes::uri_too_long,
                                   &codes::expectation_failed,
                                   &codes::header_too_large,
                                   &codes::unexpected_failure,
                                   &codes::not_implemented,
                                   &codes::over_capacity,
                                   &codes::over_request_rate_limit,
                                   &codes::request_timeout,
                                   &codes::http_version_not_supported};
constexpr std::array bearer_errors{&codes::no_authorization, &codes::bad_jwt, &codes::user_not_found,
                                   &codes::session_not_found, &codes::user_banned};
constexpr std::array machine_errors{&codes::no_authorization, &codes::bad_jwt, &codes::not_admin};
constexpr std::array request_errors{&codes::bad_json, &codes::validation_failed};

using errors_by_status = std::map<unsigned, std::vector<std::string_view>>;

errors_by_status errors_of(const route_description& route) {
  errors_by_status found;
  const auto add = [&found](unsigned status, const protocol::error_code& code) {
    auto& names = found[status];
    if (std::find(names.begin(), names.end(), code.code) == names.end()) names.push_back(code.code);
  };
  if (route.who == access::user) {
    for (const auto* each : bearer_errors) add(each->status, *each);
  }
  if (route.who == access::machine) {
    for (const auto* each : machine_errors) add(each->status, *each);
  }
  const bool has_input = route.body != body_kind::none || !route.parameters.empty() ||
                         route.pattern.find('{') != std::string_view::npos;
  if (has_input) {
    for (const auto* each : request_errors) add(each->status, *each);
  }
  for (const error_description& each : route.errors) add(each.status, *each.code);
  // Where a status has a list, the common codes of the status belong to it.
  for (auto& [status, names] : found) {
    for (const auto* each : common_errors) {
      if (each->status == status) add(status, *each);
    }
  }
  return found;
}

void reference(json_writer& json, std::string_view kind, std::string_view name) {
  json.begin_object();
  json.member("$ref", "#/components/" + std::string{kind} + "/" + std::string{name});
  json.end_object();
}

void write_content(json_writer& json, std::string_view type, std::string_view schema) {
  json.key("content");
  json.begin_object();
  json.key(type);
  json.begin_object();
  json.key("schema");
  reference(json, "schemas", schema);
  json.end_object();
  json.end_object();
}

void write_headers(json_writer& json) {
  json.key("headers");
  json.begin_object();
  json.key("X-Request-Id");
  reference(json, "headers", "request_id");
  json.end_object();
}

void write_problem(json_writer& json, std::string_view meaning, const std::vector<std::string_view>& names) {
  json.begin_object();
  json.member("description", meaning);
  write_headers(json);
  json.key("content");
  json.begin_object();
  json.key(protocol::problem_content_type);
  json.begin_object();
  json.key("schema");
  json.begin_object();
  json.key("allOf");
  json.begin_array();
  reference(json, "schemas", "problem");
  json.begin_object();
  json.key("properties");
  json.begin_object();
  json.key("error_code");
  json.begin_object();
  json.key("enum");
  json.begin_array();
  for (const std::string_view name : names) json.text(name);
  json.end_array();
  json.end_object();
  json.end_object();
  json.end_object();
  json.end_array();
  json.end_object();
  json.end_object();
  json.end_object();
  json.end_object();
}

void write_responses(json_writer& json, const route_description& route) {
  json.key("responses");
  json.begin_object();
  for (const answer_description& each : route.answers) {
    json.key(std::to_string(each.status));
    json.begin_object();
    json.member("description", each.meaning);
    write_headers(json);
    if (!each.schema.empty()) write_content(json, "application/json", each.schema);
    json.end_object();
  }
  if (route.is_oauth) {
    json.key("default");
    json.begin_object();
    json.member("description", "An error of RFC 6749 section 5.2, or a refusal of the server itself");
    json.key("content");
    json.begin_object();
    for (const auto& [type, schema] : {std::pair{std::string_view{"application/json"}, "oauth_error"},
                                       std::pair{protocol::problem_content_type, "problem"}}) {
      json.key(type);
      json.begin_object();
      json.key("schema");
      reference(json, "schemas", schema);
      json.end_object();
    }
    json.end_object();
    json.end_object();
  } else {
    for (const auto& [status, names] : errors_of(route)) {
      json.key(std::to_string(status));
      write_problem(json, "Refused", names);
    }
    std::vector<std::string_view> common;
    for (const auto* each : common_errors) common.push_back(each->code);
    json.key("default");
    write_problem(json, "What any route may answer; 429 and 503 say when to come back in `Retry-After`",
                  common);
  }
  json.end_object();
}

void write_path_parameters(json_writer& json, std::string_view pattern) {
  for (std::size_t open = pattern.find('{'); open != std::string_view::npos;
       open = pattern.find('{', open + 1)) {
    json.begin_object();
    json.member("name", pattern.substr(open + 1, pattern.find('}', open) - open - 1));
    json.member("in", "path");
    json.key("required");
    json.boolean(true);
    json.key("schema");
    reference(json, "schemas", "uuid");
    json.end_object();
  }
}

void write_parameters(json_writer& json, const route_description& route) {
  json.key("parameters");
  json.begin_array();
  write_path_parameters(json, route.pattern);
  for (const query_parameter& each : route.parameters) {
    json.begin_object();
    json.member("name", each.name);
    json.member("in", "query");
    json.member("description", each.meaning);
    json.key("required");
    json.boolean(each.is_required);
    json.key("schema");
    json.raw(each.schema);
    json.end_object();
  }
  json.end_array();
}

void write_security(json_writer& json, access who) {
  json.key("security");
  json.begin_array();
  const auto scheme = [&json](std::string_view name) {
    json.begin_object();
    json.key(name);
    json.begin_array();
    json.end_array();
    json.end_object();
  };
  if (who == access::user) scheme("user");
  if (who == access::machine || who == access::client) scheme("machine");
  if (who == access::client) scheme("client");
  json.end_array();
}

void write_operation(json_writer& json, const route_description& route, bool is_second) {
  std::string verb{net::to_string(route.verb)};
  std::transform(verb.begin(), verb.end(), verb.begin(),
                 [](char c) { return static_cast<char>(c - 'A' + 'a'); });
  json.key(verb);
  json.begin_object();
  json.member("operationId", std::string{route.operation} + (is_second ? "AtRoot" : ""));
  json.member("summary", route.summary);
  write_security(json, route.who);
  write_parameters(json, route);
  if (route.body != body_kind::none) {
    json.key("requestBody");
    json.begin_object();
    json.key("required");
    json.boolean(route.needs_body);
    write_content(json,
                  route.body == body_kind::json ? "application/json" : "application/x-www-form-urlencoded",
                  route.request);
    json.end_object();
  }
  write_responses(json, route);
  json.end_object();
}

void write_paths(json_writer& json, std::string_view prefix) {
  // Path -> its operations; whether it stands at the root beside the prefix.
  struct operation {
    const route_description* route;
    bool is_second;
  };
  std::map<std::string, std::vector<operation>> paths;
  for (const route_description& each : route_descriptions()) {
    const bool is_at_root = answers_at_root(each.verb, each.pattern);
    const bool is_below = answers_below_prefix(each.verb, each.pattern);
    if (is_below) paths[std::string{prefix} + std::string{each.pattern}].push_back({&each, false});
    if (is_at_root && !(is_below && prefix.empty()))
      paths[std::string{each.pattern}].push_back({&each, is_below});
  }
  json.key("paths");
  json.begin_object();
  for (const auto& [path, operations] : paths) {
    json.key(path);
    json.begin_object();
    for (const operation& each : operations) write_operation(json, *each.route, each.is_second);
    json.end_object();
  }
  json.end_object();
}

constexpr std::string_view security_schemes =
    R"({"user":{"type":"http","scheme":"bearer","bearerFormat":"JWT","description":"The access token of a session"},)"
    R"("machine":{"type":"http","scheme":"bearer","bearerFormat":"JWT","description":"A token of `pam-auth token`"},)"
    R"("client":{"type":"http","scheme":"basic"}})";
constexpr std::string_view headers =
    R"({"request_id":{"description":"Names the request in the server's log","schema":{"type":"string"}}})";

}  // namespace

std::string openapi_document(std::string_view prefix, std::string_view site_url) {
  std::string out;
  json_writer json{out};
  json.begin_object();
  json.member("openapi", "3.1.0");
  json.key("info");
  json.begin_object();
  json.member("title", "PAM Auth");
  json.member("description", "Accounts and sessions; wire-compatible with Supabase Auth clients");
  json.member("version", "1");
  json.end_object();
  json.key("servers");
  json.begin_array();
  json.begin_object();
  json.member("url", site_url.empty() ? "/" : site_url);
  json.end_object();
  json.end_array();
  write_paths(json, prefix);
  json.key("components");
  json.begin_object();
  json.key("securitySchemes");
  json.raw(security_schemes);
  json.key("headers");
  json.raw(headers);
  json.key("schemas");
  json.begin_object();
  for (const named_schema& each : schemas()) {
    json.key(each.name);
    json.raw(each.json);
  }
  json.end_object();
  json.end_object();
  json.end_object();
  return out;
}

}  // namespace pam::api
