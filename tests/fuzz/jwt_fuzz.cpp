// Properties: nothing but what our own key signed is accepted, and then exactly those claims; a token of ours
// with any byte changed, added or cut is refused. The first byte chooses what the rest is.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/key_ring.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::crypto;

namespace {

const key_ring& ring() {
  static const key_ring made = [] {
    auto text = key_ring::generate();
    auto parsed = key_ring::parse(*text);
    return std::move(*parsed);
  }();
  return made;
}

jwt_expectation expectation() {
  jwt_expectation expected;
  expected.issuer = "https://auth.example/auth/v1";
  expected.audience = "authenticated";
  expected.now = std::chrono::system_clock::time_point{std::chrono::seconds{1'800'000'000}};
  return expected;
}

constexpr std::string_view claims =
    R"({"iss":"https://auth.example/auth/v1","aud":"authenticated","exp":1800000900,"iat":1800000000})";

const std::string& good_token() {
  static const std::string made = *ring().sign(key_use::user, claims);
  return made;
}

void require_refused(std::string_view token) {
  require(token == good_token() || ring().verify(token, expectation()).has_error());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string& good = good_token();
  const std::string signature = good.substr(good.rfind('.'));
  switch (data[0] % 5) {
    case 0:
      require_refused(text);
      break;
    case 1:  // a header of any kind, with our payload and signature
      require_refused(detail::to_base64url(text) + good.substr(good.find('.')));
      break;
    case 2:  // claims of any kind under our header and signature
      require_refused(good.substr(0, good.find('.') + 1) + detail::to_base64url(text) + signature);
      break;
    case 3: {  // a byte changed
      std::string changed = good;
      changed[(data[1] * 256U + data[2]) % changed.size()] = text.back();
      require_refused(changed);
      break;
    }
    default: {  // claims of any kind that we did sign
      const auto token = ring().sign(key_use::user, text);
      if (token.has_error()) break;
      const auto verified = ring().verify(*token, expectation());
      if (verified.has_value()) require(verified->payload == text && verified->use == key_use::user);
    }
  }
  return 0;
}
