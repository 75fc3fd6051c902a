// Properties: what was accepted keeps the limits, its metadata is JSON for an independent parser, and
// reading that metadata again changes nothing.
#include <simdjson.h>

#include "protocol/requests.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto outcome = decode_sign_up(body);
  if (!outcome.has_value()) {
    require(outcome.error().code == &codes::bad_json || outcome.error().code == &codes::validation_failed);
    require(!outcome.error().detail.empty());
    require(simdjson::validate_utf8(outcome.error().detail));
    return 0;
  }

  require(!(outcome->email && outcome->phone));
  require((outcome->email || outcome->phone) == outcome->password.has_value());
  require(!outcome->email || (!outcome->email->empty() && outcome->email->size() <= max_email_bytes));
  require(!outcome->phone || (!outcome->phone->empty() && outcome->phone->size() <= max_phone_bytes));
  require(!outcome->password || outcome->password->view().size() <= max_password_bytes);
  require(outcome->data.set.size() <= max_metadata_bytes);

  const auto again = decode_sign_up(R"({"data":)" + outcome->data.set + "}");
  require(again.has_value());
  require(again->data.set == outcome->data.set);
  require(again->data.removed.empty());
  return 0;
}
