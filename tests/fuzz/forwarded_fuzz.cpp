// Properties: whatever a client wrote in front of what the proxy added, with commas and quotes of any kind,
// the address is the one the proxy saw or the proxy's own: never one of the client's choice.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "server/net/detail/forwarded.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::net;
using detail::forwarded_header;
using detail::origin_of;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const networks trusted{{"10.0.0.0/8"}};
  static const auto proxy = boost::asio::ip::make_address("10.0.0.1");
  static const auto client = boost::asio::ip::make_address("203.0.113.7");
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto origin_with = [&](std::string_view name, const std::vector<std::string>& values,
                               forwarded_header which) {
    std::vector<header_field> fields;
    for (const std::string& value : values) fields.push_back({name, value});
    return origin_of(fields, which, trusted, proxy).client;
  };
  const auto x_forwarded_for = forwarded_header::x_forwarded_for;
  require(origin_with("X-Forwarded-For", {text + ", 203.0.113.7"}, x_forwarded_for) == client);
  require(origin_with("X-Forwarded-For", {text, "203.0.113.7"}, x_forwarded_for) == client);
  require(origin_with("Forwarded", {text, "for=203.0.113.7"}, forwarded_header::forwarded) == client);
  for (const char* added : {", for=203.0.113.7", ",for=\"203.0.113.7:80\";proto=https"}) {
    const auto seen = origin_with("Forwarded", {text + added}, forwarded_header::forwarded);
    require(seen == client || seen == proxy);
  }
  static_cast<void>(origin_with("Forwarded", {text}, forwarded_header::forwarded));
  return 0;
}
