#include "server/net/networks.hpp"

#include <algorithm>

namespace pam::net {

namespace ip = boost::asio::ip;

ip::address unmapped(const ip::address& from) {
  if (from.is_v4()) return from;
  if (from.to_v6().is_v4_mapped()) return ip::make_address_v4(ip::v4_mapped, from.to_v6());
  return ip::address_v6{from.to_v6().to_bytes()};
}

networks::networks(const std::vector<std::string>& cidr) {
  for (const std::string& text : cidr) {
    boost::system::error_code failure;
    const auto v4 = ip::make_network_v4(text, failure);
    if (!failure) v4_.push_back(v4);
    const auto v6 = ip::make_network_v6(text, failure);
    if (!failure) v6_.push_back(v6);
  }
}

bool networks::contain(const ip::address& address) const {
  const ip::address plain = unmapped(address);
  if (plain.is_v4()) {
    return std::ranges::any_of(v4_, [&](const ip::network_v4& network) {
      return ip::network_v4{plain.to_v4(), network.prefix_length()}.canonical() == network.canonical();
    });
  }
  return std::ranges::any_of(v6_, [&](const ip::network_v6& network) {
    return ip::network_v6{plain.to_v6(), network.prefix_length()}.canonical() == network.canonical();
  });
}

}  // namespace pam::net
