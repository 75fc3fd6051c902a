#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "server/runtime/trace_span.hpp"

namespace pam::runtime {

struct trace_settings {
  std::string endpoint;           ///< of OTLP/HTTP, as "http://collector:4318/v1/traces"
  unsigned sample_percent = 100;  ///< of the traces that begin here; what a caller sampled is always exported
  std::size_t queue_limit = 4'096;
};

/// Sends spans to a collector by OTLP/HTTP in JSON, from a thread of its own (libcurl multi). A request never
/// waits for it: what does not fit into the queue, and what the collector does not take after two more tries,
/// is dropped and counted.
/// Thread-safe.
class trace_exporter {
 public:
  struct statistics {
    // Spans of requests; what they consist of goes with them.
    std::atomic<std::uint64_t> exported{0};
    std::atomic<std::uint64_t> dropped_queue_full{0};
    std::atomic<std::uint64_t> dropped_refused{0};  ///< the collector was away or said no
  };

  explicit trace_exporter(trace_settings settings);
  /// Sends what is queued, for at most two seconds.
  ~trace_exporter();
  trace_exporter(const trace_exporter&) = delete;
  trace_exporter& operator=(const trace_exporter&) = delete;

  /// Whether a trace that begins with this request shall be exported: the sample. The same id is always
  /// answered the same, so that nobody has to remember it.
  [[nodiscard]] bool samples(std::string_view request_id) const;
  void offer(trace_span span) noexcept;

  [[nodiscard]] const statistics& stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::runtime
