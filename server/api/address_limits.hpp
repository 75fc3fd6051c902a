#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "server/auth/rate_limiter.hpp"
#include "server/net/networks.hpp"
#include "server/net/router.hpp"

namespace pam::api {

/// Requests refused because of where they came from. Written on the shard, readable from any thread.
struct address_statistics {
  std::atomic<std::uint64_t> limited{0};    ///< above the address's rate
  std::atomic<std::uint64_t> unfair{0};     ///< the address held its share of the hash queue
  std::atomic<std::uint64_t> forgotten{0};  ///< addresses that left the table while they were limited
};

/// What one address may do on this shard: a rate for each cost class, and a share of the hash queue. An IPv6
/// address counts as its /64, which is what one customer gets.
/// Shard: lives on one; `stats()` may be read from any thread.
class address_limits {
 public:
  using rates = std::array<auth::rate, net::cost_classes>;

  /// @param share      requests of the hash class one address may have in flight; 0: any number
  /// @param unlimited  networks in CIDR notation that are never limited; what does not parse is left out
  address_limits(rates how, std::size_t share, const std::vector<std::string>& unlimited);

  /// Takes one request from the address's budget.
  /// @return zero when there was one, else how long until there is
  [[nodiscard]] std::chrono::microseconds take(const boost::asio::ip::address& from, net::cost_class cost,
                                               std::chrono::steady_clock::time_point now);

  /// A held part of the hash queue; leaving the scope gives it back. Empty shares hold nothing.
  class share {
   public:
    share() = default;
    share(share&& other) noexcept : of_(std::exchange(other.of_, nullptr)), key_(std::move(other.key_)) {}
    share(const share&) = delete;
    share& operator=(const share&) = delete;
    share& operator=(share&&) = delete;
    ~share() {
      if (of_ != nullptr) of_->give_back(key_);
    }

   private:
    friend class address_limits;
    share(address_limits& of, std::string key) : of_(&of), key_(std::move(key)) {}
    address_limits* of_ = nullptr;
    std::string key_;
  };
  /// Holds one more place of the hash queue for the address. @return false when it has its share
  [[nodiscard]] std::pair<bool, share> hold(const boost::asio::ip::address& from);

  [[nodiscard]] const address_statistics& stats() const { return statistics_; }

 private:
  void give_back(const std::string& key) noexcept;

  rates how_;
  std::size_t share_;
  net::networks unlimited_;
  auth::rate_limiter limiter_;
  std::unordered_map<std::string, std::size_t> held_;  ///< bounded by the hash class's requests in flight
  address_statistics statistics_;
};

/// The bytes an address is limited by: four of IPv4 (mapped ones too), the first eight of IPv6.
[[nodiscard]] std::string limited_prefix(const boost::asio::ip::address& from);

}  // namespace pam::api
