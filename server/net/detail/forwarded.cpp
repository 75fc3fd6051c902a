#include "server/net/detail/forwarded.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>

namespace pam::net::detail {
namespace {

namespace ip = boost::asio::ip;
using hop = std::optional<ip::address>;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

bool equals_without_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

/// A port or an obfuscated one (RFC 7239 section 6); what it is does not matter.
bool is_node_port(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    const char small = lower(c);
    return (c >= '0' && c <= '9') || (small >= 'a' && small <= 'z') || c == '.' || c == '_' || c == '-';
  });
}

hop parse(std::string_view text) {
  // Among others no NUL, at which a C string ends, and no scope.
  if (text.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return std::nullopt;
  boost::system::error_code failure;
  const ip::address address = ip::make_address(std::string{text}, failure);
  if (failure) return std::nullopt;
  return unmapped(address);
}

/// "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]", "[2001:db8::1]:80"; X-Forwarded-For has bare IPv6 too.
hop node_of(std::string_view text) {
  if (text.size() > 128) return std::nullopt;
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view rest = text.substr(end + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_node_port(rest.substr(1)))) return std::nullopt;
    const hop address = parse(text.substr(1, end - 1));
    return address && text.substr(1, end - 1).find(':') != std::string_view::npos ? address : std::nullopt;
  }
  const std::size_t colon = text.find(':');
  if (colon != std::string_view::npos && text.find(':', colon + 1) == std::string_view::npos) {
    return is_node_port(text.substr(colon + 1)) ? parse(text.substr(0, colon)) : std::nullopt;
  }
  return parse(text);
}

/// One field of X-Forwarded-For, outermost hop first.
void add_listed(std::string_view value, std::vector<hop>& to) {
  for (;;) {
    const std::size_t comma = std::min(value.find(','), value.size());
    const std::string_view entry = trimmed(value.substr(0, comma));
    if (!entry.empty()) to.push_back(node_of(entry));
    if (comma == value.size()) return;
    value.remove_prefix(comma + 1);
  }
}

/// Reads the elements of one Forwarded field (RFC 7239 section 4).
class element_reader {
 public:
  explicit element_reader(std::string_view text) : rest_(text) {}

  /// Appends a hop for each element. A field that is not well formed is one hidden hop: where its quotes
  /// are not balanced, nobody can tell what the client wrote from what the proxy did.
  void add_to(std::vector<hop>& to) {
    const std::size_t before = to.size();
    while (!rest_.empty()) {
      if (!add_element(to)) {
        to.resize(before);
        to.emplace_back(std::nullopt);
        return;
      }
    }
  }

 private:
  bool add_element(std::vector<hop>& to) {
    hop client;
    bool has_pairs = false;
    bool has_client = false;
    for (;;) {
      skip_blanks();
      if (rest_.empty() || rest_.front() == ',') break;
      if (rest_.front() == ';') {
        rest_.remove_prefix(1);
        continue;
      }
      std::string value;
      const std::size_t equals = rest_.find_first_of("=,; \t\"");
      if (equals == 0 || equals == std::string_view::npos || rest_[equals] != '=') return false;
      const std::string_view name = rest_.substr(0, equals);
      rest_.remove_prefix(equals + 1);
      if (!take_value(value)) return false;
      has_pairs = true;
      if (!equals_without_case(name, "for")) continue;
      if (has_client) return false;  // each parameter once an element
      has_client = true;
      client = node_of(value);
    }
    if (!rest_.empty()) rest_.remove_prefix(1);
    if (has_pairs) to.push_back(client);
    return true;
  }

  bool take_value(std::string& into) {
    if (!rest_.starts_with('"')) {
      const std::size_t end = std::min(rest_.find_first_of(",; \t\""), rest_.size());
      into = rest_.substr(0, end);
      rest_.remove_prefix(end);
    } else {
      rest_.remove_prefix(1);
      for (;;) {
        if (rest_.empty()) return false;
        char c = rest_.front();
        rest_.remove_prefix(1);
        if (c == '"') break;
        if (c == '\\') {
          if (rest_.empty()) return false;
          c = rest_.front();
          rest_.remove_prefix(1);
        }
        into += c;
      }
    }
    skip_blanks();
    return rest_.empty() || rest_.front() == ',' || rest_.front() == ';';
  }

  void skip_blanks() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) rest_.remove_prefix(1);
  }

  std::string_view rest_;
};

}  // namespace

origin origin_of(const std::vector<header_field>& fields, forwarded_header which, const networks& trusted,
                 const ip::address& nearest) {
  origin found{nearest, false};
  if (which == forwarded_header::off || !trusted.contain(nearest)) return found;
  const bool is_list = which == forwarded_header::x_forwarded_for;
  const std::string_view name = is_list ? "x-forwarded-for" : "forwarded";
  std::vector<hop> hops;
  // Several fields of a name are one list (RFC 9110 section 5.3), of which each hop wrote the end: read from
  // there, as far as needed.
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (!equals_without_case(field->name, name)) continue;
    hops.clear();
    if (is_list) {
      add_listed(field->value, hops);
    } else {
      element_reader(field->value).add_to(hops);
    }
    for (auto each = hops.rbegin(); each != hops.rend(); ++each) {
      if (!*each) return {found.client, true};
      found.client = **each;
      if (!trusted.contain(found.client)) return found;
    }
  }
  return found;
}

}  // namespace pam::net::detail
