#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "protocol/problem.hpp"
#include "server/net/router.hpp"

namespace pam::api {

/// Who may call a route.
enum class access : std::uint8_t {
  anyone,
  user,     ///< a bearer token of a signed-in user
  machine,  ///< a machine token with an administrator's role
  client,   ///< a machine token, or a configured client's credentials
};

struct query_parameter {
  std::string_view name;
  std::string_view schema;  ///< JSON
  std::string_view meaning;
  bool is_required = false;
};

/// A success.
struct answer_description {
  unsigned status;
  std::string_view schema;  ///< name of a schema; "" without a body
  std::string_view meaning;
};

/// A refusal of the route's own. Those of every route, of every bearer and of every body are not repeated.
struct error_description {
  unsigned status;
  const protocol::error_code* code;
};

enum class body_kind : std::uint8_t { none, json, form };

/// What a caller must know of a route, for GET /openapi.json and the tests that hold the server to it.
struct route_description {
  net::method verb;
  std::string_view pattern;    ///< as in the route table
  std::string_view operation;  ///< stable name, camelCase as generators expect
  std::string_view summary;
  access who = access::anyone;
  body_kind body = body_kind::none;
  std::string_view request{};  ///< name of a schema
  bool needs_body = true;      ///< false: an empty body says something too
  std::span<const query_parameter> parameters{};
  std::span<const answer_description> answers{};
  std::span<const error_description> errors{};
  /// Errors are those of RFC 6749 section 5.2, not problems.
  bool is_oauth = false;
};

[[nodiscard]] std::span<const route_description> route_descriptions();

/// One schema of the description, as JSON.
struct named_schema {
  std::string_view name;
  std::string_view json;
};
[[nodiscard]] std::span<const named_schema> schemas();

/// The OpenAPI 3.1 description of every described route. Routes of the root stand there twice.
/// @param prefix    of the first-party routes
/// @param site_url  where the server is reached
[[nodiscard]] std::string openapi_document(std::string_view prefix, std::string_view site_url);

}  // namespace pam::api
