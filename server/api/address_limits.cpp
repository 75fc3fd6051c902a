#include "server/api/address_limits.hpp"

#include "async/counting.hpp"

namespace pam::api {

namespace ip = boost::asio::ip;

std::string limited_prefix(const ip::address& from) {
  const ip::address plain = net::unmapped(from);
  std::string prefix;
  if (plain.is_v4()) {
    for (const unsigned char byte : plain.to_v4().to_bytes()) prefix += static_cast<char>(byte);
    return prefix;
  }
  constexpr std::size_t network_bytes = 8;
  const auto bytes = plain.to_v6().to_bytes();
  for (std::size_t i = 0; i < network_bytes; ++i) prefix += static_cast<char>(bytes[i]);
  return prefix;
}

address_limits::address_limits(rates how, std::size_t share, const std::vector<std::string>& unlimited)
    : how_(how), share_(share), unlimited_(unlimited) {}

std::chrono::microseconds address_limits::take(const ip::address& from, net::cost_class cost,
                                               std::chrono::steady_clock::time_point now) {
  const auth::rate& budget = how_[static_cast<std::size_t>(cost)];
  if (budget.burst == 0 || unlimited_.contain(from)) return std::chrono::microseconds{0};
  const auto wait =
      limiter_.take(limited_prefix(from) + static_cast<char>('0' + static_cast<int>(cost)), budget, now);
  if (wait.count() > 0) async::count(statistics_.limited);
  statistics_.forgotten.store(limiter_.forgotten(), std::memory_order_relaxed);
  return wait;
}

std::pair<bool, address_limits::share> address_limits::hold(const ip::address& from) {
  if (share_ == 0 || unlimited_.contain(from)) return {true, share{}};
  std::string key = limited_prefix(from);
  std::size_t& held = held_[key];
  if (held >= share_) {
    async::count(statistics_.unfair);
    return {false, share{}};
  }
  ++held;
  return {true, share{*this, std::move(key)}};
}

void address_limits::give_back(const std::string& key) noexcept {
  const auto found = held_.find(key);
  if (found != held_.end() && --found->second == 0) held_.erase(found);
}

}  // namespace pam::api
