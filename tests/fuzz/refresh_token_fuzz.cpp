// Properties: bytes and text stand for each other one to one, for tokens, base64url, UUIDs and times.
#include <algorithm>

#include "protocol/base64url.hpp"
#include "protocol/objects.hpp"
#include "protocol/refresh_token_text.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto image = decode_refresh_token(text)) require(encode_refresh_token(*image) == text);
  if (const auto bytes = decode_base64url(text)) require(encode_base64url(*bytes) == text);

  const auto input = std::as_bytes(std::span{data, size});
  const auto back = decode_base64url(encode_base64url(input));
  require(back.has_value() && std::ranges::equal(*back, input));

  if (const auto id = parse_uuid(text)) require(parse_uuid(to_string(*id)) == id);
  if (const auto moment = parse_rfc3339(text)) {
    const std::string written = to_rfc3339(*moment);
    require(written.size() == 27 && to_rfc3339(*parse_rfc3339(written)) == written);
  }
  return 0;
}
