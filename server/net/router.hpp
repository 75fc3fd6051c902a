#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "server/net/request_context.hpp"

namespace pam::net {

/// What a request costs, for admission: each class has its own limit of requests in flight.
enum class cost_class : std::uint8_t { free, read, write, hash };
inline constexpr std::size_t cost_classes = 4;
[[nodiscard]] std::string_view to_string(cost_class value);

/// One row of the route table. `pattern` starts with '/', a segment `{name}` matches one non-empty
/// segment without '/'. `index` is the caller's handler number.
struct route {
  method verb;
  std::string_view pattern;
  cost_class cost;
  std::size_t index;
};

/// Outcome of matching a path.
struct route_match {
  enum class kind : std::uint8_t { found, not_found, method_not_allowed } outcome = kind::not_found;
  const net::route* route = nullptr;
  std::array<std::string_view, 4> parameters{};
  std::string allow;  ///< for method_not_allowed: "GET, PUT, OPTIONS"
};

/// Matches method and path against the table (a HEAD matches its GET). The table is small and constant;
/// 404 (no such path) and 405 (other methods exist) differ.
[[nodiscard]] route_match match(std::span<const route> table, method verb, std::string_view path);

}  // namespace pam::net
