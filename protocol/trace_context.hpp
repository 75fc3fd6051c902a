#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pam::protocol {

/// Who asked, for distributed tracing: W3C Trace Context, `traceparent`.
struct trace_context {
  std::array<std::byte, 16> trace_id{};
  std::array<std::byte, 8> parent_id{};
  bool is_sampled = false;
};

/// Reads a `traceparent` header (W3C Trace Context section 3.2): version 00 exactly, later versions as far
/// as they are known. nullopt for anything else, an id of zeros included: a new trace begins then.
[[nodiscard]] std::optional<trace_context> parse_traceparent(std::string_view header);

/// The `tracestate` header when it may be passed on (section 3.3): 1 to 32 members `key=value` in at most
/// 512 characters. Empty otherwise; the trace goes on without it.
[[nodiscard]] std::string_view valid_tracestate(std::string_view header);

/// Lower-case hexadecimal digits.
[[nodiscard]] std::string to_hex(std::span<const std::byte> bytes);

}  // namespace pam::protocol
