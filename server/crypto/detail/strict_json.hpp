#pragma once

#include <string>
#include <string_view>

#include <simdjson.h>

namespace pam::crypto::detail {

/// Nesting a token or key file may have; user metadata (32 levels) stands inside a claims set.
inline constexpr std::size_t max_json_depth = 64;

/// Parses `text` as one JSON object without duplicate member names at any level (RFC 8725 section 2.4,
/// RFC 7519 section 4). False for everything else.
/// @param out  points into `parser`, valid until its next use
[[nodiscard]] bool parse_strict(simdjson::dom::parser& parser, std::string_view text,
                                simdjson::dom::object& out);

/// Overwrites what `parser` keeps of the last document: the unescaped strings of a key file.
void wipe_document(simdjson::dom::parser& parser) noexcept;

/// `value` as a quoted JSON string. `value` is text of ours: printable ASCII.
[[nodiscard]] std::string json_string(std::string_view value);

}  // namespace pam::crypto::detail
