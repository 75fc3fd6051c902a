#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include <boost/asio/ip/address.hpp>

namespace pam::net::detail {

/// The longest header we take. The specification's v1 needs 107 bytes, a v2 with every registered TLV some
/// hundred.
inline constexpr std::size_t proxy_header_limit = 4'096;

/// What the first bytes of a connection say as a header of the PROXY protocol, version 1 or 2
/// (haproxy.org, proxy-protocol.txt).
struct proxy_header {
  enum class outcome : std::uint8_t {
    need_more,  ///< all bytes belong to the header, and it goes on
    found,
    refused,  ///< this is no header of the protocol
  };

  outcome what = outcome::need_more;
  std::size_t length = 0;  ///< when found: bytes of the header; the rest belongs to the client
  /// Who connected to the proxy. Empty: the proxy itself (LOCAL), or it does not say (UNKNOWN, UNSPEC, a
  /// Unix socket, a datagram). IPv4-mapped addresses are IPv4.
  std::optional<boost::asio::ip::address> client;
};

/// Reads the header at the beginning of `bytes`; the same answer however they arrive. TLVs are skipped, a
/// CRC-32C among them is verified.
[[nodiscard]] proxy_header read_proxy_header(std::string_view bytes);

}  // namespace pam::net::detail
