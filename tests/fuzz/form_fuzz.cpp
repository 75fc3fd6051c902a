// Properties: accepted forms hold storable text only, bounded in number, each name once.
#include <simdjson.h>

#include "protocol/form.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  auto outcome = decode_form(text);
  if (!outcome.has_value()) {
    require(outcome.error().code == &codes::validation_failed);
    return 0;
  }

  const std::size_t members = outcome->size();
  require(members <= max_form_members);
  const form moved = std::move(*outcome);
  require(moved.size() == members);
  for (const std::string_view name : {"grant_type", "refresh_token", "a", "b", ""}) {
    const auto value = moved.find(name);
    if (!value) continue;
    require(!value->empty() && value->find('\0') == std::string_view::npos);
    require(simdjson::validate_utf8(value->data(), value->size()));
    require(!decode_form(std::string{text} + "&" + std::string{name} + "=again").has_value());
  }
  return 0;
}
