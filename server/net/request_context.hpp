#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "async/call_costs.hpp"
#include "async/call_timeline.hpp"
#include "async/deadline.hpp"

namespace pam::net {

enum class method : std::uint8_t { get, head, post, put, patch, del, options, other };

[[nodiscard]] std::string_view to_string(method value);

/// One header field as it came; names compare without case.
struct header_field {
  std::string_view name;
  std::string_view value;
};

/// The plain values of an answer: what is added to `response` beside them, exchange::reset() has to know.
struct response_head {
  unsigned status = 200;
  std::string_view content_type = "application/json; charset=utf-8";  ///< literal; ignored without a body
  bool no_store = true;  ///< `Cache-Control: no-store`; clear it when a handler sets Cache-Control itself
  bool close = false;    ///< end the connection after this answer
};

/// What a handler fills in. Header and a small body leave in one write; Date, Content-Length, Connection,
/// X-Request-Id and the security headers are added by the writer.
struct response : response_head {
  std::string body;
  std::shared_ptr<const std::string> document;  ///< instead of `body`: one for many, not copied when large
  std::vector<std::pair<std::string_view, std::string>> headers;  ///< names are literals

  void set(std::string_view name, std::string value) { headers.emplace_back(name, std::move(value)); }
  /// The body, whosever it is. Valid until either member changes.
  [[nodiscard]] std::string_view content() const { return document ? *document : body; }
};

/// One complete request and its answer. Owned by the connection set from a pool per shard, handed to
/// one coroutine, and recycled when the answer left. Every view points into the context's own buffer
/// and stays valid until then, suspensions included.
/// Shard: never leaves it.
class request_context {
 public:
  net::method verb = method::other;
  std::string_view target;  ///< as sent: path and query
  std::string_view path;    ///< up to '?', not decoded
  std::string_view query;   ///< after '?', not decoded
  std::string_view body;
  std::vector<header_field> fields;

  /// The client: the socket's peer, or whom trusted proxies say they speak for (`listen.trusted_proxies`).
  boost::asio::ip::address peer;
  bool is_tls = false;
  bool keep_alive = true;
  std::chrono::steady_clock::time_point started;  ///< when the first byte of it was read
  async::deadline deadline;                       ///< absolute, for everything the request does
  std::array<char, 26> request_id{};              ///< text of X-Request-Id

  std::string_view route = "";                        ///< the matched pattern, for metrics; "" before routing
  std::array<std::string_view, 4> path_parameters{};  ///< in pattern order
  async::call_costs costs;                            ///< counted through `deadline`
  std::unique_ptr<async::call_timeline> timeline;     ///< of `costs`, when the request's trace is exported
  net::response out;

  /// First field with this name (case-insensitive), or an empty view.
  [[nodiscard]] std::string_view header(std::string_view name) const;
  /// True when the field is present, even if empty.
  [[nodiscard]] bool has_header(std::string_view name) const;
  [[nodiscard]] std::string_view id() const { return {request_id.data(), request_id.size()}; }
  /// Decoded value of the first query member with this (decoded) name; empty when absent (an empty value
  /// equals absent). `+` is a space; an invalid escape stays as it is, as in the WHATWG URL standard. The
  /// result may hold any byte, NUL included: validate it.
  [[nodiscard]] std::string query_value(std::string_view name) const;
};

}  // namespace pam::net
