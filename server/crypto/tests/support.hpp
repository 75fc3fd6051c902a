#pragma once

#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>

#include "server/crypto/key_ring.hpp"

namespace pam::crypto::test {

/// A fixed moment: no test looks at the clock. 2026-11-22T10:43:00Z.
inline constexpr std::chrono::sys_seconds moment{std::chrono::seconds{1'795'344'180}};
inline constexpr std::string_view issuer = "https://auth.example/auth/v1";
inline constexpr std::string_view audience = "authenticated";

inline jwt_expectation expectation(std::chrono::seconds later = {}) {
  return {.issuer = issuer, .audience = audience, .now = moment + later};
}

/// Claims that `expectation()` accepts for fifteen minutes.
std::string good_claims();
/// The same with one member replaced; an empty `value` leaves the member out.
std::string claims_with(std::string_view name, std::string_view value);

/// Fixed keys in JWK form, without braces, kid, pam_use and pam_state: `"kty":"EC",...`.
extern const std::string_view ec_members;        ///< RFC 7515 appendix A.3
extern const std::string_view rsa_members;       ///< RFC 7515 appendix A.2
extern const std::string_view okp_members;       ///< RFC 8037 appendix A.1
extern const std::string_view hmac_members;      ///< RFC 7515 appendix A.1
extern const std::string_view other_ec_members;  ///< RFC 7517 appendix A.2
extern const std::string_view refresh_members;
extern const std::string_view other_refresh_members;

/// `{members,"pam_use":use,"pam_state":state}`; `extra` comes first, e.g. `"kid":"7"`.
std::string key(std::string_view members, std::string_view use, std::string_view state = "current",
                std::string_view extra = "");
/// A JWK Set of such objects.
std::string key_set(std::initializer_list<std::string> keys);
/// The set most tests use: the given user key, a machine key and refresh key 7.
std::string standard_set(std::string_view user_members = ec_members,
                         std::string_view user_extra = R"("kid":"u")");
key_ring ring_of(const std::string& set);
inline key_ring standard_ring() {
  return ring_of(standard_set());
}

/// A compact JWS put together by hand: any header, any claims, any signature.
std::string forge(std::string_view header, std::string_view claims, std::string_view signature);

/// `text` with the first occurrence of `what` replaced; fails the test when there is none.
std::string replaced(std::string text, std::string_view what, std::string_view with);

}  // namespace pam::crypto::test
