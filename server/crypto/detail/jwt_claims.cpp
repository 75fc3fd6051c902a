#include "server/crypto/detail/jwt_claims.hpp"

#include <array>
#include <optional>

#include "server/crypto/detail/strict_json.hpp"

namespace pam::crypto::detail {

namespace {

namespace dom = simdjson::dom;

error bad_token(std::string_view why) {
  return {errc::bad_token, std::string{why}};
}

bool has(const dom::object& from, std::string_view name) {
  return from.at_key(name).error() == simdjson::SUCCESS;
}

std::optional<std::string_view> text_of(const dom::object& from, std::string_view name) {
  std::string_view value;
  if (from.at_key(name).get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

/// A NumericDate (RFC 7519 section 2) in seconds; integers and fractions alike.
std::optional<double> date_of(const dom::object& from, std::string_view name) {
  double value = 0;
  if (from.at_key(name).get(value) != simdjson::SUCCESS) return std::nullopt;
  return value;
}

/// RFC 7519 section 4.1.3: one string or an array of strings.
bool is_audience(const dom::object& claims, std::string_view expected) {
  dom::element aud;
  if (claims.at_key("aud").get(aud) != simdjson::SUCCESS) return false;
  std::string_view text;
  if (aud.get(text) == simdjson::SUCCESS) return text == expected;
  dom::array list;
  if (aud.get(list) != simdjson::SUCCESS) return false;
  bool is_named = false;
  for (const dom::element item : list) {
    if (item.get(text) != simdjson::SUCCESS) return false;
    is_named = is_named || text == expected;
  }
  return is_named;
}

result<void> check_times(const dom::object& claims, const jwt_expectation& expected) {
  const double now = std::chrono::duration<double>(expected.now.time_since_epoch()).count();
  const auto leeway = static_cast<double>(expected.leeway.count());
  const auto exp = date_of(claims, "exp");
  const bool may_lack_exp = expected.may_be_unbounded && !has(claims, "exp");
  if (!exp && !may_lack_exp) return bad_token("exp is missing or no number");
  // RFC 7519 section 4.1.4: at `exp` it is over. No leeway, it was our own clock that wrote it.
  if (exp && now >= *exp) return error{errc::expired, "exp has passed"};
  for (const std::string_view name : {"nbf", "iat"}) {
    if (!has(claims, name)) continue;
    const auto date = date_of(claims, name);
    if (!date) return bad_token(std::string{name} + " is no number");
    if (*date > now + leeway) return bad_token(std::string{name} + " lies in the future");
  }
  return {};
}

}  // namespace

result<jwt_header> read_jwt_header(std::string_view json) {
  thread_local dom::parser parser;
  dom::object header;
  if (!parse_strict(parser, json, header)) return bad_token("the header is no strict JSON object");
  for (const std::string_view name : {"jku", "jwk", "x5u", "x5c", "crit", "b64", "zip"}) {
    if (has(header, name)) return bad_token("the header has " + std::string{name});
  }
  // GoTrue always wrote it, so there is no older token to be lenient for.
  const auto typ = text_of(header, "typ");
  if (typ != "JWT") return bad_token("typ is not JWT");
  const auto alg = text_of(header, "alg");
  if (!alg) return bad_token("alg is missing");
  if (!has(header, "kid")) return jwt_header{std::string{*alg}, {}};
  const auto kid = text_of(header, "kid");
  if (!kid || kid->empty()) return bad_token("kid is no name");
  return jwt_header{std::string{*alg}, std::string{*kid}};
}

result<void> check_jwt_claims(std::string_view json, const jwt_expectation& expected) {
  thread_local dom::parser parser;
  dom::object claims;
  if (!parse_strict(parser, json, claims)) return bad_token("the claims are no strict JSON object");
  const auto iss = text_of(claims, "iss");
  if (!iss || *iss != expected.issuer) return bad_token("iss is not ours");
  const bool may_lack_aud = expected.may_be_unbounded && !has(claims, "aud");
  if (!may_lack_aud && !is_audience(claims, expected.audience)) return bad_token("aud does not name us");
  return check_times(claims, expected);
}

}  // namespace pam::crypto::detail
