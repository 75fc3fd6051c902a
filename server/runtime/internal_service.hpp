#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "server/crypto/hash_pool.hpp"
#include "server/net/http_server.hpp"
#include "server/net/service.hpp"
#include "server/runtime/metrics.hpp"
#include "server/runtime/shard.hpp"

namespace pam::runtime {

/// The internal port: /livez (the process runs), /readyz (it should be sent requests), /metrics.
/// Runs on the control thread and reads the shards' statistics.
class internal_service final : public net::service {
 public:
  /// Everything must outlive the service.
  /// @param own  the port itself, there once it serves
  internal_service(const std::vector<std::unique_ptr<shard>>& shards, const crypto::hash_pool& hashes,
                   const logger& log, const observation& observed, const std::atomic<bool>& is_draining,
                   const std::unique_ptr<net::http_server>& own);

  boost::asio::awaitable<void> serve(net::request_context& request) override;
  void refuse(net::request_context& request, unsigned status, std::string_view code,
              std::string_view detail) noexcept override;
  void finished(const net::request_context&, bool) noexcept override {}

 private:
  void answer_readiness(net::request_context& request) const;

  const std::vector<std::unique_ptr<shard>>& shards_;
  const crypto::hash_pool& hashes_;
  const logger& log_;
  const observation& observed_;
  const std::atomic<bool>& is_draining_;
  const std::unique_ptr<net::http_server>& own_;
};

/// Writes everything a process measures: requests and latencies by route, connections, database pools,
/// hash queue, refresh outcomes, process.
/// @param internal  of the internal port
[[nodiscard]] std::string render_metrics(const std::vector<std::unique_ptr<shard>>& shards,
                                         const crypto::hash_pool& hashes, const logger& log,
                                         const observation& observed, const net::net_statistics& internal);

}  // namespace pam::runtime
