// What stands in the Authorization field, from its bytes to the session it names, as a bearer route reads it.
// Properties: a token is a tail of the field behind the scheme; nothing but what a key of ours signed names a
// session, and then the one that was signed; the scheme in any case, and nothing else in front of the token,
// is taken for the scheme. The first byte chooses what the rest is.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "protocol/claims.hpp"
#include "server/api/bearer_token.hpp"
#include "server/crypto/key_ring.hpp"
#include "tests/fuzz/require.hpp"

using pam::api::bearer_token_of;
using pam::fuzz::require;
using namespace pam;

namespace {

constexpr std::int64_t now = 1'800'000'000;

/// Keys like those of an installation that moved here: an old secret verifies tokens without a kid.
const crypto::key_ring& ring() {
  static const crypto::key_ring made = [] {
    std::string text = *crypto::key_ring::generate();
    text.insert(text.find('[') + 1,
                R"({"kty":"oct","kid":"old","alg":"HS256","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",)"
                R"("pam_use":"user","pam_state":"previous","pam_accepts_no_kid":true},)");
    auto parsed = crypto::key_ring::parse(text);
    require(parsed.has_value());
    return std::move(*parsed);
  }();
  return made;
}

std::optional<protocol::token_subject> subject_of(std::string_view authorization) {
  const std::string_view token = bearer_token_of(authorization);
  require(authorization.ends_with(token) && !token.starts_with(' '));
  if (token.empty()) return std::nullopt;
  crypto::jwt_expectation expected;
  expected.issuer = "https://auth.example/auth/v1";
  expected.audience = "authenticated";
  expected.now = std::chrono::system_clock::time_point{std::chrono::seconds{now}};
  const auto verified = ring().verify(token, expected);
  if (verified.has_error() || verified->use != crypto::key_use::user) return std::nullopt;
  const auto subject = protocol::decode_token_subject(verified->payload);
  if (subject.has_error()) return std::nullopt;
  return *subject;
}

std::string token_with(const boost::uuids::uuid& account, crypto::key_use use) {
  protocol::access_claims claims;
  claims.iss = "https://auth.example/auth/v1";
  claims.sub = claims.session_id = account;
  claims.iat = now;
  claims.exp = now + 900;
  return *ring().sign(use, protocol::encode(claims));
}

const std::string& good_token() {
  static const std::string made = token_with(boost::uuids::uuid{{7}}, crypto::key_use::user);
  return made;
}

// Whatever stands in front of a good token: it names the session exactly when it is the scheme and spaces.
void check_scheme(std::string_view scheme) {
  std::string lower{scheme};
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  const bool is_bearer = lower.starts_with("bearer ") && lower.find_first_not_of(' ', 6) == std::string::npos;
  const auto subject = subject_of(std::string{scheme} + good_token());
  require(subject.has_value() == is_bearer);
  require(!subject || subject->account == boost::uuids::uuid{{7}});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:  // the whole field
      require(!subject_of(text));
      break;
    case 1:  // any token behind the scheme
      require(!subject_of("Bearer " + text));
      break;
    case 2:
      check_scheme(text);
      check_scheme(text + ' ');
      break;
    case 3: {  // something behind the token
      const auto subject = subject_of("bEARER  " + good_token() + text);
      require(subject.has_value() == text.empty());
      break;
    }
    default: {  // claims of any kind that we did sign, as a user and as a machine
      for (const crypto::key_use use : {crypto::key_use::user, crypto::key_use::machine}) {
        const auto token = ring().sign(use, text);
        if (token.has_error()) continue;
        const auto subject = subject_of("Bearer " + *token);
        require(!subject || use == crypto::key_use::user);
        const auto alone = protocol::decode_token_subject(text);
        require(!subject || (alone.has_value() && alone->session == subject->session));
      }
    }
  }
  return 0;
}
