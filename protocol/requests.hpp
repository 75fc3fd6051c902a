#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/decode_error.hpp"
#include "protocol/sensitive.hpp"

namespace pam::protocol {

/// Bounds every decoder keeps. A body that breaks one is refused as `bad_json` or `validation_failed`.
inline constexpr std::size_t max_json_depth = 32;
inline constexpr std::size_t max_metadata_bytes = 16 * 1024;  ///< it travels in every access token
inline constexpr std::size_t max_email_bytes = 255;
inline constexpr std::size_t max_phone_bytes = 64;  ///< E.164 has 15 digits; people add blanks
inline constexpr std::size_t max_password_bytes = 1024;
inline constexpr std::size_t max_nonce_bytes = 128;
inline constexpr std::size_t max_refresh_token_bytes = 4096;  ///< other servers' tokens are longer than ours

/// A top-level change of a metadata object: `set` is a JSON object text re-encoded by us (keys whose
/// value was not null), `removed` the keys whose value was null.
struct metadata_patch {
  std::string set = "{}";
  std::vector<std::string> removed;
  [[nodiscard]] bool empty() const { return set == "{}" && removed.empty(); }
};

struct sign_up_request {
  std::optional<std::string> email;
  std::optional<std::string> phone;
  std::optional<sensitive> password;
  metadata_patch data;
};

struct password_grant_request {
  std::optional<std::string> email;
  std::optional<std::string> phone;
  sensitive password;
};

struct refresh_grant_request {
  sensitive refresh_token;
};

struct update_user_request {
  std::optional<std::string> email;
  std::optional<std::string> phone;
  std::optional<sensitive> password;
  std::optional<sensitive> current_password;
  std::optional<std::string> nonce;
  std::optional<metadata_patch> data;
};

/// Every decoder: `null` equals absent for optional members, unknown members are ignored, duplicate
/// keys, trailing bytes, a non-object, invalid UTF-8, U+0000, lone surrogates, numbers outside double
/// and nesting over `max_json_depth` are refused. An empty body is an empty object.
///
/// The whole body is judged, ignored members included. What breaks JSON or these rules is `bad_json`;
/// a member of the wrong type, too long or missing is `validation_failed` with its pointer. An empty
/// email, phone, nonce or current_password equals absent (that is how GoTrue's clients send none); an
/// empty password does not: policy judges it.
///
/// Metadata is encoded anew: no blanks, minimal escapes, keys in the order they came, and numbers in
/// full without an exponent, exactly as jsonb keeps and prints them (`1e3` becomes `1000`, every digit
/// survives). So `max_metadata_bytes` bounds what will travel, however short it was written, but for the
/// blank that jsonb prints after each `:` and `,`.
///
/// Thread-safe; each thread keeps one parser, whose buffers are wiped after every call.
/// An address (not both) with a password, or neither: an anonymous user.
[[nodiscard]] decoded<sign_up_request> decode_sign_up(std::string_view body);
/// One address, not both, and a password.
[[nodiscard]] decoded<password_grant_request> decode_password_grant(std::string_view body);
[[nodiscard]] decoded<refresh_grant_request> decode_refresh_grant(std::string_view body);
[[nodiscard]] decoded<update_user_request> decode_update_user(std::string_view body);

}  // namespace pam::protocol
