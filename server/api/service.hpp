#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "protocol/objects.hpp"
#include "server/api/address_limits.hpp"
#include "server/api/admission.hpp"
#include "server/api/full_answer.hpp"
#include "server/auth/access_tokens.hpp"
#include "server/auth/accounts.hpp"
#include "server/auth/oauth_clients.hpp"
#include "server/auth/sessions.hpp"
#include "server/auth/verified_tokens.hpp"
#include "server/net/router.hpp"
#include "server/net/service.hpp"

namespace pam::api {

/// What the routes need to know of the configuration.
struct settings {
  std::string prefix = "/auth/v1";  ///< of the first-party routes
  std::string site_url;             ///< base of problem types, no slash at its end
  std::vector<std::string> cors_origins{"*"};
  protocol::settings features;  ///< what GET /settings answers
  std::array<std::size_t, net::cost_classes> in_flight_limits{100'000, 4096, 4096, 256};
  /// Wait of a read or write that clients can bear; above it their number follows what can be done. 0: any.
  std::chrono::milliseconds bearable_wait{0};
  std::size_t busy_database = 0;  ///< reads and writes that keep it busy, see queue_bound
  std::vector<std::string> admin_roles{"service_role", "supabase_admin"};
  std::vector<std::string> oauth_clients;  ///< "id:sha256:hex", see auth::oauth_clients
  /// Requests of one address (IPv6: of its /64) by cost class, this shard's share; refreshes apart. `free`
  /// is never limited.
  address_limits::rates address_rates{};
  std::vector<std::string> unlimited_networks;  ///< CIDR; e.g. a proxy that limits by itself
  bool admin_may_be_unbounded = false;          ///< machine tokens without exp and aud are accepted
  std::size_t verified_tokens = auth::verified_tokens::default_places;  ///< remembered at most
};

/// Sees every request: access log, metrics and traces. Must not throw.
class observer {
 public:
  virtual ~observer() = default;
  /// Before any work is done for it; not called for what is answered at once. May engage `timeline`.
  virtual void began(net::request_context& request) noexcept = 0;
  virtual void finished(const net::request_context& request, bool was_sent) noexcept = 0;
  /// An error whose detail must reach the log and nobody else.
  virtual void failed(const net::request_context& request, std::string_view what,
                      std::string_view detail) noexcept = 0;
  /// An administrator's call that was carried out: who, and what he did.
  virtual void administered(const net::request_context& request, std::string_view actor,
                            std::string_view action) noexcept = 0;
  /// New connections are being reset; see net::service.
  virtual void shedding(std::size_t /*connections*/) noexcept {}
};

/// The application of one shard: routes requests to handlers, with admission per cost class, CORS and
/// one error format. Shard: lives on one.
class service final : public net::service {
 public:
  /// Everything must outlive the service.
  service(settings how, auth::accounts& accounts, auth::sessions& sessions, const auth::access_tokens& tokens,
          observer& watcher);

  bool serve_at_once(net::request_context& request) override;
  boost::asio::awaitable<void> serve(net::request_context& request) override;
  void refuse(net::request_context& request, unsigned status, std::string_view code,
              std::string_view detail) noexcept override;
  void finished(const net::request_context& request, bool was_sent) noexcept override;
  void shedding(std::size_t connections) noexcept override { watcher_.shedding(connections); }

  /// A place among the requests of a class; nullopt when it is full and the request has been answered 503,
  /// or when its address holds its share of the hash class, answered 429.
  [[nodiscard]] std::optional<admitted_request> admit(net::request_context& request, net::cost_class cost);

  [[nodiscard]] const settings& how() const { return how_; }
  [[nodiscard]] auth::accounts& accounts() { return accounts_; }
  [[nodiscard]] auth::sessions& sessions() { return sessions_; }
  [[nodiscard]] const auth::access_tokens& tokens() const { return tokens_; }
  [[nodiscard]] auth::verified_tokens& verified() { return verified_; }
  [[nodiscard]] const auth::verified_tokens& verified() const { return verified_; }
  [[nodiscard]] const auth::oauth_clients& clients() const { return clients_; }
  /// The description of the API, as GET /openapi.json answers it.
  [[nodiscard]] const std::shared_ptr<const std::string>& openapi() const { return openapi_; }
  [[nodiscard]] observer& watcher() { return watcher_; }
  [[nodiscard]] const address_statistics& addresses() const { return addresses_.stats(); }
  [[nodiscard]] const admission_statistics& admission(net::cost_class of) const { return places_.seen(of); }

 private:
  boost::asio::awaitable<void> answer_any(net::request_context& request);
  boost::asio::awaitable<void> dispatch(net::request_context& request);
  void add_common_headers(net::request_context& request) const;
  [[nodiscard]] bool refuse_at_once(net::request_context& request);
  void answer_full(net::request_context& request, net::cost_class cost);

  settings how_;
  auth::oauth_clients clients_;
  std::shared_ptr<const std::string> openapi_;
  address_limits addresses_;
  auth::accounts& accounts_;
  auth::sessions& sessions_;
  const auth::access_tokens& tokens_;
  auth::verified_tokens verified_;
  observer& watcher_;
  api::admission places_;
  std::array<full_answer, net::cost_classes> full_;
};

}  // namespace pam::api
