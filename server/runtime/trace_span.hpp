#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "async/call_costs.hpp"
#include "async/call_timeline.hpp"

namespace pam::runtime {

/// A piece of a request's work as a tracing system sees it.
struct child_span {
  std::array<std::byte, 8> span_id{};
  async::call_step step;
  std::chrono::nanoseconds after{0};  ///< from the request's beginning to `step.asked`
};

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
  std::vector<child_span> children;
  std::uint32_t dropped_children = 0;  ///< beyond the limit of a timeline
};

/// The body of an OTLP/HTTP export in JSON (opentelemetry-proto, ExportTraceServiceRequest): one server span
/// each, with a client span for every statement and an internal one for every hash below it. Nothing of the
/// client's but the ids and the state it sent for this purpose.
[[nodiscard]] std::string encode_otlp(std::span<const trace_span> spans);

}  // namespace pam::runtime
