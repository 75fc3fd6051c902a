// Properties: an accepted address has a host and a port, and reads back as the same.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "server/runtime/config_values.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text{reinterpret_cast<const char*>(data), size};
  const auto read = pam::runtime::parse_endpoint(text);
  if (!read) return 0;

  require(!read->host.empty() && read->port != 0);
  require(read->host.find('\0') == std::string::npos || text.find('\0') != std::string_view::npos);
  const auto again = pam::runtime::parse_endpoint(pam::runtime::format_endpoint(*read));
  require(again && again->host == read->host && again->port == read->port);
  return 0;
}
