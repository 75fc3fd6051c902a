#include "server/net/detail/head_parser.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/rfc7230.hpp>

namespace pam::net::detail {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

bool same(std::string_view a, std::string_view b) {
  return beast::iequals(beast::string_view(a.data(), a.size()), beast::string_view(b.data(), b.size()));
}

method to_method(http::verb verb) {
  switch (verb) {
    case http::verb::get:
      return method::get;
    case http::verb::post:
      return method::post;
    case http::verb::put:
      return method::put;
    case http::verb::options:
      return method::options;
    case http::verb::delete_:
      return method::del;
    case http::verb::patch:
      return method::patch;
    case http::verb::head:
      return method::head;
    default:
      return method::other;
  }
}

/// The fields that decide where the message ends, to whom it is sent and what follows it.
struct decisive_fields {
  std::optional<std::string_view> host;
  std::optional<std::string_view> length;
  std::optional<std::string_view> coding;
  std::optional<std::string_view> expectation;
  bool has_close = false;
  bool has_keep_alive = false;
  refusal fault;  ///< the first one: a field without a name, or one sent twice that may come once only
};

/// Collects what Beast finds. Beast checks the grammar of lines, names and values and knows the names
/// it meets; the rules about their meaning follow in `parse_head`.
class collecting_parser final : public http::basic_parser<true> {
 public:
  explicit collecting_parser(request_context& into) : into_(into) {}

  int version = 0;
  decisive_fields found;

 private:
  using error_code = beast::error_code;
  using text = beast::string_view;
  static std::string_view view(text from) { return {from.data(), from.size()}; }

  void on_request_impl(http::verb verb, text, text path, int http_version, error_code&) override {
    into_.verb = to_method(verb);
    into_.target = view(path);
    version = http_version;
  }
  void on_field_impl(http::field known, text name, text value, error_code&) override {
    const header_field field{view(name), view(value)};
    into_.fields.push_back(field);
    if (name.empty()) return accuse("A header field has no name.");
    switch (known) {
      case http::field::host:
        return keep(found.host, value, "Host must be sent once.");
      case http::field::content_length:
        return keep(found.length, value, "Content-Length must be sent once.");
      case http::field::transfer_encoding:
        return keep(found.coding, value, "Transfer-Encoding must be sent once.");
      case http::field::expect:
        return keep(found.expectation, value, "Expect must be sent once.");
      case http::field::connection:
        return read_options(value);
      default:
        return;
    }
  }
  void on_response_impl(int, text, int, error_code&) override {}
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(text, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, text, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, text, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  void accuse(std::string_view why) {
    if (!found.fault) found.fault = malformed(why);
  }
  void keep(std::optional<std::string_view>& place, text value, std::string_view repeated) {
    if (place) return accuse(repeated);
    place = view(value);
  }
  void read_options(text value) {
    for (const auto& option : http::token_list{value}) {
      found.has_close = found.has_close || beast::iequals(option, "close");
      found.has_keep_alive = found.has_keep_alive || beast::iequals(option, "keep-alive");
    }
  }

  request_context& into_;
};

/// `HTTP/` and a version that is none of ours: well-formed, hence 505 and not 400.
bool is_other_version(std::string_view head) {
  const std::string_view line = head.substr(0, head.find("\r\n"));
  if (line.size() < 9) return false;
  const std::string_view version = line.substr(line.size() - 9);
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return version.starts_with(" HTTP/") && is_digit(version[6]) && version[7] == '.' && is_digit(version[8]);
}

refusal explain(const beast::error_code& failure, std::string_view head) {
  if (failure == http::error::bad_version) {
    if (is_other_version(head)) {
      return {505, "http_version_not_supported", "Only HTTP/1.1 and HTTP/1.0 are spoken here."};
    }
    return malformed("The request line must end with HTTP/1.1.");
  }
  if (failure == http::error::bad_method) return malformed("The method is not a token.");
  if (failure == http::error::bad_target) {
    return malformed("The request target contains a character that must be percent-encoded, or is empty.");
  }
  if (failure == http::error::bad_content_length || failure == http::error::multiple_content_length) {
    return malformed("Content-Length must be one decimal number, sent once and without Transfer-Encoding.");
  }
  if (failure == http::error::bad_transfer_encoding) {
    return malformed("Transfer-Encoding is malformed or was sent together with Content-Length.");
  }
  if (failure == http::error::bad_field)
    return malformed("A header field name is not a token followed by ':'.");
  return malformed("A header field value contains a character that is not allowed, or a line is malformed.");
}

/// Splits the target (RFC 9112 section 3.2): origin-form, absolute-form, or `*` for OPTIONS.
/// @param authority  of the absolute-form; empty in the other forms
refusal split_target(request_context& into, std::string_view& authority) {
  std::string_view rest = into.target;
  if (rest.find('#') != std::string_view::npos) {
    return malformed("The request target must not contain a fragment.");
  }
  if (into.target == "*" && into.verb == method::options) {
    into.path = into.target;
    return {};
  }
  if (!rest.starts_with('/')) {
    const std::size_t scheme = rest.find("://");
    const bool is_http = scheme != std::string_view::npos &&
                         (same(rest.substr(0, scheme), "http") || same(rest.substr(0, scheme), "https"));
    if (!is_http) return malformed("The request target must begin with '/' or be an http or https URL.");
    rest.remove_prefix(scheme + 3);
    authority = rest.substr(0, rest.find_first_of("/?"));
    if (authority.empty()) return malformed("The request target names no host.");
    rest.remove_prefix(authority.size());
  }
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  into.path = rest.substr(0, mark);
  into.query = rest.substr(std::min(mark + 1, rest.size()));
  if (into.path.empty()) into.path = "/";  // absolute-form without a path (RFC 9110 section 4.2.3)
  return {};
}

/// Decimal digits only: no sign, no space, no list.
std::optional<std::uint64_t> parse_length(std::string_view text) {
  constexpr std::size_t digits_that_fit = 19;
  if (text.empty() || text.size() > digits_that_fit) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

/// Host is `uri-host [":" port]` (RFC 9110 section 7.2): no user part, path, list or space.
bool is_host(std::string_view text) {
  static constexpr std::array<bool, 256> is_bad = [] {
    std::array<bool, 256> bad{};
    for (std::size_t code = 0; code < bad.size(); ++code) bad[code] = code <= ' ' || code >= 0x7f;
    for (const char c : std::string_view("/?#@,\\\"<>^`{|}")) bad[static_cast<unsigned char>(c)] = true;
    return bad;
  }();
  if (std::ranges::any_of(text, [](char c) { return is_bad[static_cast<unsigned char>(c)]; })) return false;
  std::size_t end = text.find(':');
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos) return false;
    ++end;
  }
  const std::string_view port = text.substr(std::min(end, text.size()));
  return port.empty() ||
         (port[0] == ':' && port.find_first_not_of("0123456789", 1) == std::string_view::npos);
}

refusal check_host(std::optional<std::string_view> host, std::string_view authority, int version) {
  if (!host && version >= 11) return malformed("HTTP/1.1 requires a Host field.");
  if (host && !is_host(*host)) return malformed("Host is malformed.");
  if (authority.empty()) return {};
  if (authority.starts_with(':') || !is_host(authority)) {
    return malformed("The host in the request target is malformed.");
  }
  // RFC 9112 section 3.2.2: a client sends the same in both, and a server goes by the target. Whoever
  // sends two hosts wants two readers to disagree, so neither is believed.
  if (host && !same(*host, authority)) {
    return malformed("Host and the host in the request target differ.");
  }
  return {};
}

refusal read_framing(const decisive_fields& found, int version, const limits& bounds, framing& body) {
  if (found.coding) {
    if (found.length) {
      return malformed("Transfer-Encoding and Content-Length must not be sent together.");
    }
    if (version < 11) return malformed("HTTP/1.0 has no Transfer-Encoding.");
    if (!same(*found.coding, "chunked")) {
      return {501, "not_implemented", "The only supported transfer coding is chunked."};
    }
    body.is_chunked = true;
    return {};
  }
  if (!found.length) return {};
  const auto length = parse_length(*found.length);
  if (!length) return malformed("Content-Length must be one decimal number.");
  if (*length > bounds.body_bytes) {
    return {413, "request_entity_too_large", "The body is larger than the configured limit."};
  }
  body.content_length = *length;
  return {};
}

}  // namespace

head_scanner::outcome head_scanner::refuse(const refusal& why) {
  why_ = why;
  return outcome::refused;
}

head_scanner::outcome head_scanner::too_large() {
  if (lines_ == 0) return refuse({414, "uri_too_long", "The request line is longer than the header limit."});
  return refuse({431, "header_too_large", "The header is larger than the configured limit."});
}

head_scanner::outcome head_scanner::scan(std::string_view bytes, const limits& bounds) {
  for (;;) {
    // RFC 9112 section 5.2: a server may refuse a folded line, and an unfolding proxy reads it differently.
    if (lines_ > 0 && line_ < bytes.size() && (bytes[line_] == ' ' || bytes[line_] == '\t')) {
      return refuse(malformed("A header line begins with white space."));
    }
    const std::size_t feed = bytes.find('\n', next_);
    if (feed == std::string_view::npos) {
      next_ = bytes.size();
      return bytes.size() > bounds.header_bytes ? too_large() : outcome::need_more;
    }
    if (feed >= bounds.header_bytes) return too_large();
    if (feed == line_ || bytes[feed - 1] != '\r')
      return refuse(malformed("A line ends without a carriage return."));

    const bool is_empty = feed == line_ + 1;
    line_ = next_ = feed + 1;
    if (!is_empty) {
      if (++lines_ > bounds.header_fields + 1) {
        return refuse({431, "header_too_large", "There are more header fields than the configured limit."});
      }
    } else if (lines_ > 0) {
      end_ = line_;
      return outcome::found;
    } else {
      // Empty lines before the request line are ignored (RFC 9112 section 2.2); `header_bytes` bounds them.
      begin_ = line_;
    }
  }
}

refusal parse_head(std::string_view head, const limits& bounds, request_context& into, framing& body) {
  collecting_parser parser(into);
  parser.header_limit(std::numeric_limits<std::uint32_t>::max());  // the scanner has checked the size
  parser.body_limit(boost::none);                                  // judged below, with our own status
  beast::error_code failure;
  parser.put(boost::asio::const_buffer(head.data(), head.size()), failure);
  if (failure) return explain(failure, head);
  if (!parser.is_header_done()) return malformed("The request head is malformed.");

  const decisive_fields& found = parser.found;
  std::string_view authority;
  if (const refusal why = split_target(into, authority)) return why;
  if (found.fault) return found.fault;
  if (const refusal why = check_host(found.host, authority, parser.version)) return why;
  if (const refusal why = read_framing(found, parser.version, bounds, body)) return why;
  // HTTP/1.1 stays open unless told otherwise, HTTP/1.0 closes unless asked (RFC 9112 section 9.3).
  into.keep_alive = !found.has_close && (parser.version >= 11 || found.has_keep_alive);
  if (found.expectation && parser.version >= 11) {
    if (!same(*found.expectation, "100-continue")) {
      return {417, "expectation_failed", "The only supported expectation is 100-continue."};
    }
    body.expects_continue = true;
  }
  return {};
}

}  // namespace pam::net::detail
