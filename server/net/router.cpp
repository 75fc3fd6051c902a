#include "server/net/router.hpp"

#include <algorithm>
#include <limits>

namespace pam::net {
namespace {

struct pattern_match {
  bool matches = false;
  std::size_t count = 0;  ///< parameters captured
  std::array<std::string_view, 4> parameters{};
};

/// Compares segment by segment; neither side is decoded, so `%2F` stays inside its segment.
pattern_match match_pattern(std::string_view pattern, std::string_view path) {
  pattern_match found;
  while (!pattern.empty() && !path.empty()) {
    if (pattern.front() != '/' || path.front() != '/') return found;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
    const std::string_view expected = pattern.substr(0, pattern.find('/'));
    const std::string_view segment = path.substr(0, path.find('/'));
    if (expected.starts_with('{')) {
      if (segment.empty() || found.count == found.parameters.size()) return found;
      found.parameters[found.count++] = segment;
    } else if (expected != segment) {
      return found;
    }
    pattern.remove_prefix(expected.size());
    path.remove_prefix(segment.size());
  }
  found.matches = pattern.empty() && path.empty();
  return found;
}

void add_method(std::string& allow, method verb) {
  const std::string_view name = to_string(verb);
  if (allow.find(name) != std::string::npos) return;
  if (!allow.empty()) allow += ", ";
  allow += name;
}

}  // namespace

std::string_view to_string(cost_class value) {
  switch (value) {
    case cost_class::free:
      return "free";
    case cost_class::read:
      return "read";
    case cost_class::write:
      return "write";
    case cost_class::hash:
      return "hash";
  }
  return "free";
}

route_match match(std::span<const route> table, method verb, std::string_view path) {
  const bool is_head = verb == method::head;
  route_match best;
  std::size_t fewest = std::numeric_limits<std::size_t>::max();
  bool is_exact_verb = false;

  for (const net::route& candidate : table) {
    const bool is_verb = candidate.verb == verb;
    if (!is_verb && !(is_head && candidate.verb == method::get)) continue;
    const pattern_match found = match_pattern(candidate.pattern, path);
    if (!found.matches) continue;
    // A literal segment beats a parameter, a route for HEAD itself beats its GET.
    const bool is_better = found.count < fewest || (found.count == fewest && is_verb && !is_exact_verb);
    if (!is_better) continue;
    fewest = found.count;
    is_exact_verb = is_verb;
    best.outcome = route_match::kind::found;
    best.route = &candidate;
    best.parameters = found.parameters;
  }
  if (best.outcome == route_match::kind::found) return best;

  for (const net::route& candidate : table) {
    if (match_pattern(candidate.pattern, path).matches) add_method(best.allow, candidate.verb);
  }
  if (!best.allow.empty()) {
    best.outcome = route_match::kind::method_not_allowed;
    add_method(best.allow, method::options);
  }
  return best;
}

}  // namespace pam::net
