// Properties: every refusal is bad_jwt; what was read survives being written into claims and read again;
// a stored amr that was read has one form.
#include "protocol/claims.hpp"
#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using namespace pam::protocol;

namespace {

void check_subject(std::string_view payload) {
  const auto subject = decode_token_subject(payload);
  if (!subject.has_value()) {
    require(subject.error().code == &codes::bad_jwt);
    return;
  }
  access_claims claims;
  claims.sub = subject->account;
  claims.session_id = subject->session;
  claims.iat = subject->iat;
  claims.aal = subject->aal;
  const auto again = decode_token_subject(encode(claims));
  require(again.has_value());
  require(again->account == subject->account && again->session == subject->session);
  require(again->iat == subject->iat && again->aal == subject->aal);
}

void check_machine(std::string_view payload) {
  const auto claims = decode_machine_claims(payload);
  if (!claims.has_value()) {
    require(claims.error().code == &codes::bad_jwt);
    return;
  }
  const std::string text = encode(*claims);
  const auto again = decode_machine_claims(text);
  require(again.has_value() && encode(*again) == text);
}

void check_amr(std::string_view text) {
  const std::string once = encode_amr(decode_amr(text));
  require(encode_amr(decode_amr(once)) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_subject(text);
  check_machine(text);
  check_amr(text);
  return 0;
}
