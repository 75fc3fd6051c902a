#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/trace_context.hpp"
#include "server/api/service.hpp"
#include "server/runtime/breach_client.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/metrics.hpp"
#include "server/runtime/trace_exporter.hpp"

namespace pam::runtime {

/// What one route of one shard answered. Written on the shard, readable from any thread.
struct route_statistics {
  std::array<std::atomic<std::uint64_t>, 6>
      by_class{};  ///< [2]: 2xx ... [5]: 5xx; [0]: peer lost before the answer
  latency_histogram latency;
};

/// What all observers of a process share. Outlives them.
struct observation {
  std::atomic<std::int64_t> slow_request_us{1'000'000};  ///< 0: no request is slow
  std::optional<trace_exporter> traces;                  ///< engaged before the first request, or never
  std::unique_ptr<breach_client> breaches;               ///< made before the first request, or null
};

/// The parts of a request's time that are told apart in metrics.
inline constexpr std::array<std::string_view, 4> request_parts{"database_queue", "database", "hash_queue",
                                                               "hash"};

/// Turns finished requests into log lines, counters, histograms and spans.
class request_observer final : public api::observer {
 public:
  request_observer(logger& log, observation& how);

  void began(net::request_context& request) noexcept override;
  void finished(const net::request_context& request, bool was_sent) noexcept override;
  void failed(const net::request_context& request, std::string_view what,
              std::string_view detail) noexcept override;
  void administered(const net::request_context& request, std::string_view actor,
                    std::string_view action) noexcept override;
  void shedding(std::size_t connections) noexcept override;

  /// Pattern -> statistics. The map is fixed at construction; "" stands for requests no route matched.
  [[nodiscard]] const std::map<std::string_view, route_statistics>& routes() const { return routes_; }
  /// By index of `request_parts`, of the requests that had such a part.
  [[nodiscard]] const std::array<latency_histogram, request_parts.size()>& parts() const { return parts_; }

 private:
  void count(const net::request_context& request, bool was_sent, std::chrono::nanoseconds elapsed);
  void log_request(log_level level, std::string_view event, const net::request_context& request,
                   bool was_sent, std::chrono::nanoseconds elapsed, std::string_view trace_id);
  [[nodiscard]] bool is_sampled(const net::request_context& request,
                                const std::optional<protocol::trace_context>& caller) const;
  void trace(const net::request_context& request, bool was_sent, std::chrono::nanoseconds elapsed,
             const std::optional<protocol::trace_context>& caller);

  logger& log_;
  observation& how_;
  route_statistics& statistics_of(std::string_view route);

  std::map<std::string_view, route_statistics> routes_;
  std::string_view last_route_;  ///< of the last request, and its statistics: the next one is often alike
  route_statistics* last_ = nullptr;
  std::array<latency_histogram, request_parts.size()> parts_;
};

}  // namespace pam::runtime
