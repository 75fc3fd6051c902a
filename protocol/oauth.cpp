#include "protocol/oauth.hpp"

#include <cstddef>

#include "protocol/detail/text_forms.hpp"
#include "protocol/json_writer.hpp"

namespace pam::protocol {
namespace {

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  text.remove_suffix(padding);
  std::string out;
  out.reserve(text.size());
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : text) {
    const std::size_t value = alphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out += static_cast<char>(bits >> held & 0xff);
  }
  // Canonical: what the last character carries beyond the last byte is zero.
  if ((bits & ((1U << held) - 1)) != 0) return std::nullopt;
  return out;
}

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Strict: a `%` without two digits is no encoding of anything.
std::optional<std::string> decode_component(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i] == '+' ? ' ' : text[i];
      continue;
    }
    const int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

bool is_basic(std::string_view authorization) {
  constexpr std::string_view scheme = "basic ";
  if (authorization.size() <= scheme.size()) return false;
  for (std::size_t i = 0; i < scheme.size(); ++i) {
    const char c = authorization[i];
    if ((c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c) != scheme[i]) return false;
  }
  return true;
}

}  // namespace

std::string encode(const introspection& value) {
  std::string out;
  json_writer json{out};
  json.begin_object();
  json.key("active");
  json.boolean(true);
  if (!value.token_type.empty()) json.member("token_type", value.token_type);
  json.member("iss", value.iss);
  json.member("sub", detail::view(detail::text_of(value.sub)));
  json.member("aud", value.aud);
  json.key("exp");
  json.integer(value.exp);
  if (value.iat) {
    json.key("iat");
    json.integer(*value.iat);
  }
  if (!value.username.empty()) json.member("username", value.username);
  if (!value.role.empty()) json.member("role", value.role);
  if (!value.aal.empty()) json.member("aal", value.aal);
  json.member("session_id", detail::view(detail::text_of(value.session_id)));
  if (value.is_anonymous) {
    json.key("is_anonymous");
    json.boolean(*value.is_anonymous);
  }
  json.end_object();
  return out;
}

std::string encode_oauth_error(std::string_view error, std::string_view description) {
  std::string out;
  json_writer json{out};
  json.begin_object();
  json.member("error", error);
  json.member("error_description", description);
  json.end_object();
  return out;
}

std::optional<client_credentials> decode_client_credentials(std::string_view authorization) {
  if (!is_basic(authorization)) return std::nullopt;
  std::string_view encoded = authorization.substr(authorization.find(' ') + 1);
  while (encoded.starts_with(' ')) encoded.remove_prefix(1);
  auto decoded = decode_base64(encoded);
  if (!decoded) return std::nullopt;
  std::optional<client_credentials> found;
  const std::size_t colon = decoded->find(':');
  if (colon != std::string::npos) {
    auto id = decode_component(std::string_view{*decoded}.substr(0, colon));
    auto secret = decode_component(std::string_view{*decoded}.substr(colon + 1));
    if (id && secret) {
      found.emplace();
      found->id = std::move(*id);
      found->secret = sensitive{*secret};
    }
  }
  return found;
}

}  // namespace pam::protocol
