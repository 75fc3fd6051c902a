// Properties: the same answer however the bytes arrive, never waiting beyond the limit, and what follows a
// header is not looked at.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/net/detail/proxy_header.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using pam::net::detail::proxy_header;
using pam::net::detail::read_proxy_header;
using outcome = proxy_header::outcome;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const proxy_header whole = read_proxy_header(text);
  if (whole.what == outcome::need_more) {
    require(text.size() < pam::net::detail::proxy_header_limit);
  } else if (whole.what == outcome::found) {
    require(whole.length > 0 && whole.length <= text.size());
    require(read_proxy_header(text.substr(0, whole.length)).client == whole.client);
    require(read_proxy_header(std::string{text} + "PROXY").length == whole.length);
    for (const std::size_t length : {whole.length - 1, whole.length / 2, std::size_t{1}}) {
      require(read_proxy_header(text.substr(0, length)).what == outcome::need_more);
    }
    if (whole.client) require(whole.client->is_v4() || !whole.client->to_v6().is_v4_mapped());
  } else {
    require(!whole.client);
    require(read_proxy_header(std::string{text} + "\r\n").what == outcome::refused);
  }
  return 0;
}
