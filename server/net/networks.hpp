#pragma once

#include <string>
#include <vector>

#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

namespace pam::net {

/// A set of networks, asked whether an address lies in one of them. IPv4-mapped addresses count as IPv4.
class networks {
 public:
  networks() = default;
  /// @param cidr  "10.0.0.0/8", "2001:db8::/32"; what does not parse is left out
  explicit networks(const std::vector<std::string>& cidr);

  [[nodiscard]] bool contain(const boost::asio::ip::address& address) const;
  [[nodiscard]] bool are_empty() const { return v4_.empty() && v6_.empty(); }

 private:
  std::vector<boost::asio::ip::network_v4> v4_;
  std::vector<boost::asio::ip::network_v6> v6_;
};

/// An IPv4-mapped address as IPv4, any other as it is, without the scope of a link.
[[nodiscard]] boost::asio::ip::address unmapped(const boost::asio::ip::address& from);

}  // namespace pam::net
