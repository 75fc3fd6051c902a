#include "server/runtime/config_forms.hpp"

#include <algorithm>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include "server/runtime/config_values.hpp"

namespace pam::runtime::forms {
namespace {

bool is_one_of(char c, std::string_view set) {
  return set.find(c) != std::string_view::npos;
}

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/// The unreserved characters of RFC 3986 section 2.3 and the slash.
bool is_path(std::string_view text) {
  return text.starts_with('/') && !text.ends_with('/') && text.find("//") == std::string_view::npos &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || is_one_of(c, "-._~/"); });
}

bool is_authority(std::string_view text) {
  return !text.empty() && !text.starts_with('/') && parse_endpoint(text).has_value() &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return is_alphanumeric(c) || is_one_of(c, "-._:[]"); });
}

/// What follows http:// or https://, or an empty view.
std::string_view after_scheme(std::string_view text) {
  for (const std::string_view scheme : {std::string_view{"https://"}, std::string_view{"http://"}}) {
    if (text.starts_with(scheme)) return text.substr(scheme.size());
  }
  return {};
}

bool accepts_base_url(std::string_view text) {
  const std::string_view rest = after_scheme(text);
  const std::size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return is_authority(rest);
  return is_authority(rest.substr(0, slash)) && is_path(rest.substr(slash));
}

bool accepts_collector(std::string_view text) {
  return text.empty() || accepts_base_url(text);
}

bool accepts_https_service(std::string_view text) {
  return text.empty() || (text.starts_with("https://") && accepts_base_url(text));
}

bool accepts_origin(std::string_view text) {
  return text == "*" || is_authority(after_scheme(text));
}

bool accepts_path_prefix(std::string_view text) {
  return text.empty() || is_path(text);
}

bool accepts_ip_address(std::string_view text) {
  boost::system::error_code failure;
  boost::asio::ip::make_address(text, failure);
  return !failure;
}

bool is_visible(char c) {
  return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
}

bool accepts_host(std::string_view text) {
  return text.size() <= 255 && std::all_of(text.begin(), text.end(), is_visible);
}

bool accepts_network(std::string_view text) {
  boost::system::error_code failure;
  boost::asio::ip::make_network_v4(text, failure);
  if (!failure) return true;
  boost::asio::ip::make_network_v6(text, failure);
  return !failure;
}

bool accepts_oauth_client(std::string_view text) {
  // As auth::parse_oauth_client reads it.
  constexpr std::string_view scheme = ":sha256:";
  const std::size_t at = text.find(scheme);
  if (at == 0 || at > 64 || text.size() != at + scheme.size() + 64) return false;
  const auto is_id = [](char c) { return is_alphanumeric(c) || is_one_of(c, "._-"); };
  const auto is_digit = [](char c) { return is_one_of(c, "0123456789abcdef"); };
  return std::ranges::all_of(text.substr(0, at), is_id) &&
         std::ranges::all_of(text.substr(at + scheme.size()), is_digit);
}

bool accepts_word(std::string_view text) {
  return !text.empty() && accepts_host(text);
}

bool accepts_socket_path(std::string_view text) {
  // sun_path of unix(7), less the suffix under which the file is made.
  return text.empty() || (text.starts_with('/') && text.size() <= 96);
}

}  // namespace

const text_form base_url{R"(a URL such as "https://auth.example.com", without a slash at the end)",
                         &accepts_base_url};
const text_form collector{R"(empty or a URL such as "http://127.0.0.1:4318/v1/traces")", &accepts_collector};
const text_form https_service{
    R"(empty or a URL with https such as "https://api.pwnedpasswords.com/range", without a slash at the end)",
    &accepts_https_service};
const text_form origin{R"(an origin such as "https://app.example.com", or "*")", &accepts_origin};
const text_form path_prefix{R"(empty or a path such as "/auth/v1", without a slash at the end)",
                            &accepts_path_prefix};
const text_form ip_address{R"(an IP address such as "127.0.0.1" or "::")", &accepts_ip_address};
const text_form host{R"(empty, a host name, an address or a directory, at most 255 characters)",
                     &accepts_host};
const text_form socket_path{R"(empty or an absolute path of at most 96 bytes)", &accepts_socket_path};
const text_form network{R"(a network such as "10.0.0.0/8" or "2001:db8::/32")", &accepts_network};
const text_form oauth_client{R"(an entry that `pam-auth client ID` printed: "ID:sha256:" and 64 digits)",
                             &accepts_oauth_client};
const text_form word{"1 to 255 characters without spaces", &accepts_word};

}  // namespace pam::runtime::forms
