// Properties: simdjson's eager parser agrees that what was accepted is JSON (large integers apart, which it
// refuses), no accepted text holds U+0000 or invalid UTF-8, and metadata has one final form.
#include <simdjson.h>

#include "protocol/requests.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::protocol;

namespace {

void require_storable(std::string_view text) {
  require(text.find('\0') == std::string_view::npos);
  require(simdjson::validate_utf8(text.data(), text.size()));
}

void require_one_final_form(const metadata_patch& patch) {
  require_storable(patch.set);
  require(patch.set.size() <= max_metadata_bytes);
  for (const auto& key : patch.removed) require_storable(key);

  const auto again = decode_update_user(R"({"data":)" + patch.set + "}");
  require(again.has_value() && again->data.has_value());
  require(again->data->set == patch.set && again->data->removed.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto outcome = decode_update_user(body);
  if (!outcome.has_value()) {
    require_storable(outcome.error().detail);
    require_storable(outcome.error().pointer);
    return 0;
  }

  if (!body.empty()) {
    static simdjson::dom::parser eager;
    const auto verdict = eager.parse(body.data(), body.size()).error();
    require(verdict == simdjson::SUCCESS || verdict == simdjson::NUMBER_ERROR);
  }
  if (outcome->email) require_storable(*outcome->email);
  if (outcome->phone) require_storable(*outcome->phone);
  if (outcome->nonce) require_storable(*outcome->nonce);
  if (outcome->password) require_storable(outcome->password->view());
  if (outcome->current_password) require_storable(outcome->current_password->view());
  if (outcome->data) require_one_final_form(*outcome->data);
  return 0;
}
