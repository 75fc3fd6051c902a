#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "async/call_costs.hpp"

namespace pam::runtime {

/// One request as a tracing system sees it.
struct trace_span {
  std::array<std::byte, 16> trace_id{};
  std::array<std::byte, 8> span_id{};
  std::array<std::byte, 8> parent_id{};  ///< zeros: the trace begins here
  std::string trace_state;
  std::string_view method;  ///< a literal
  std::string_view route;   ///< a pattern of the route table, or "" where none matched
  unsigned status = 0;
  bool was_sent = true;
  std::array<char, 26> request_id{};
  std::chrono::system_clock::time_point began;
  std::chrono::nanoseconds duration{0};
  async::call_costs costs;
};

/// The body of an OTLP/HTTP export in JSON (opentelemetry-proto, ExportTraceServiceRequest): one server span
/// each. Nothing of the client's but the ids and the state it sent for this purpose.
[[nodiscard]] std::string encode_otlp(std::span<const trace_span> spans);

}  // namespace pam::runtime
