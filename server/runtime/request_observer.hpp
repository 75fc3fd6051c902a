#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "server/api/service.hpp"
#include "server/runtime/log.hpp"
#include "server/runtime/metrics.hpp"

namespace pam::runtime {

/// What one route of one shard answered. Written on the shard, readable from any thread.
struct route_statistics {
  std::array<std::atomic<std::uint64_t>, 6>
      by_class{};  ///< [2]: 2xx ... [5]: 5xx; [0]: peer lost before the answer
  latency_histogram latency;
};

/// Turns finished requests into an access-log line, counters and histograms.
class request_observer final : public api::observer {
 public:
  explicit request_observer(logger& log);

  void finished(const net::request_context& request, bool was_sent) noexcept override;
  void failed(const net::request_context& request, std::string_view what,
              std::string_view detail) noexcept override;
  void administered(const net::request_context& request, std::string_view actor,
                    std::string_view action) noexcept override;

  /// Pattern -> statistics. The map is fixed at construction; "" stands for requests no route matched.
  [[nodiscard]] const std::map<std::string_view, route_statistics>& routes() const { return routes_; }
  [[nodiscard]] const latency_histogram& database_times() const { return database_; }

 private:
  logger& log_;
  std::map<std::string_view, route_statistics> routes_;
  latency_histogram database_;
};

}  // namespace pam::runtime
