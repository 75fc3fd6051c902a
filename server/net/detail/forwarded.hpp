#pragma once

#include <cstdint>
#include <vector>

#include <boost/asio/ip/address.hpp>

#include "server/net/networks.hpp"
#include "server/net/request_context.hpp"

namespace pam::net::detail {

/// The header field trusted proxies write the client's address into.
enum class forwarded_header : std::uint8_t { off, forwarded, x_forwarded_for };

/// Whom a request came from, and whether every proxy on its way said so.
struct origin {
  boost::asio::ip::address client;
  /// An entry that had to be read is no address ("unknown", "_hidden", not well formed): `client` is the hop
  /// that wrote it.
  bool is_hidden = false;
};

/// Walks the hops of a request from the nearest one outwards, as far as each is trusted: the client is the
/// first that is not, or the outermost. What lies beyond it was written by the client and is not read.
/// @param nearest  who sent us the request; nothing is read when it is not trusted
[[nodiscard]] origin origin_of(const std::vector<header_field>& fields, forwarded_header which,
                               const networks& trusted, const boost::asio::ip::address& nearest);

}  // namespace pam::net::detail
