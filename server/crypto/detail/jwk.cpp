#include "server/crypto/detail/jwk.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/evp_key.hpp"
#include "server/crypto/detail/strict_json.hpp"

namespace pam::crypto::detail {

namespace {

constexpr std::size_t symmetric_bytes = 32;
constexpr std::size_t max_kid_bytes = 64;

error bad_key(std::string detail) {
  return {errc::bad_key, std::move(detail)};
}

/// One object of the set, and where it stands.
struct reader {
  simdjson::dom::object members;
  std::string place;  ///< "keys[2]"

  [[nodiscard]] error refuse(std::string_view member, std::string_view why) const {
    return bad_key(place + "." + std::string{member} + ": " + std::string{why});
  }
  [[nodiscard]] bool has(std::string_view member) const {
    return members.at_key(member).error() == simdjson::SUCCESS;
  }
  /// Empty when absent or no string: no member we read may be empty.
  [[nodiscard]] std::string_view text(std::string_view member) const {
    std::string_view value;
    return members.at_key(member).get(value) == simdjson::SUCCESS ? value : std::string_view{};
  }
  [[nodiscard]] result<secret> octets(std::string_view member) const {
    const std::string_view encoded = text(member);
    if (encoded.empty()) return refuse(member, "must be present, a base64url string");
    auto decoded = secret_from_base64url(encoded);
    if (!decoded || decoded->empty())
      return refuse(member, "is not canonical base64url (RFC 7515 section 2)");
    return std::move(*decoded);
  }
  [[nodiscard]] result<secret> octets(std::string_view member, std::size_t length) const {
    auto decoded = octets(member);
    if (decoded.has_value() && decoded->size() != length) {
      return refuse(member, "must be " + std::to_string(length) + " octets");
    }
    return decoded;
  }
};

template <class Value>
struct word {
  std::string_view text;
  Value value;
};
constexpr std::array uses{word{"user", jwk_use::user}, word{"machine", jwk_use::machine},
                          word{"refresh", jwk_use::refresh}, word{"seal", jwk_use::seal}};
constexpr std::array states{word{"next", jwk_state::next}, word{"current", jwk_state::current},
                            word{"previous", jwk_state::previous}};

template <class Words>
auto find_word(const Words& words, std::string_view text) -> std::optional<decltype(words[0].value)> {
  const auto found = std::ranges::find(words, text, [](const auto& entry) { return entry.text; });
  if (found == words.end()) return std::nullopt;
  return found->value;
}

std::string member(std::string_view name, std::string_view value) {
  return json_string(name) + ":" + json_string(value);
}

/// Private octets, empty when the file holds only the public half, which a retired key may.
result<secret> private_octets(const reader& from, const jwk& key, std::size_t length) {
  if (!from.has("d") && key.state == jwk_state::previous) return secret{};
  return length != 0 ? from.octets("d", length) : from.octets("d");
}

result<void> adopt(const reader& from, jwk& key, algorithm alg, result<evp_pkey> made, bool can_sign) {
  if (made.has_error()) return bad_key(from.place + ": " + made.error().detail);
  key.material.alg = alg;
  key.material.key = std::move(*made);
  key.material.can_sign = can_sign;
  return {};
}

result<void> read_ec(const reader& from, jwk& key) {
  if (from.text("crv") != "P-256") return from.refuse("crv", "only P-256 is supported");
  const auto x = from.octets("x", p256_octets);
  if (x.has_error()) return x.error();
  const auto y = from.octets("y", p256_octets);
  if (y.has_error()) return y.error();
  const auto d = private_octets(from, key, p256_octets);
  if (d.has_error()) return d.error();
  key.public_members = member("crv", "P-256") + "," + member("kty", "EC") + "," +
                       member("x", from.text("x")) + "," + member("y", from.text("y"));
  return adopt(from, key, algorithm::es256, make_p256(x->view(), y->view(), d->view()), !d->empty());
}

result<void> read_okp(const reader& from, jwk& key) {
  if (from.text("crv") != "Ed25519") return from.refuse("crv", "only Ed25519 is supported");
  const auto x = from.octets("x", ed25519_octets);
  if (x.has_error()) return x.error();
  const auto d = private_octets(from, key, ed25519_octets);
  if (d.has_error()) return d.error();
  key.public_members =
      member("crv", "Ed25519") + "," + member("kty", "OKP") + "," + member("x", from.text("x"));
  return adopt(from, key, algorithm::eddsa, make_ed25519(x->view(), d->view()), !d->empty());
}

result<void> read_rsa(const reader& from, jwk& key) {
  // RFC 7518 section 6.3.1.2: minimal octets, so a good exponent has exactly one text.
  if (from.text("e") != "AQAB") return from.refuse("e", "must be AQAB (65537)");
  const auto n = from.octets("n");
  if (n.has_error()) return n.error();
  if (n->view().front() == '\0') return from.refuse("n", "has leading zero octets (RFC 7518 section 2)");
  const auto d = private_octets(from, key, 0);
  if (d.has_error()) return d.error();
  std::array<secret, rsa_crt_members.size()> crt;
  for (std::size_t i = 0; i < crt.size() && !d->empty(); ++i) {
    auto value = from.octets(rsa_crt_members[i].jwk_name);
    if (value.has_error()) return value.error();
    crt[i] = std::move(*value);
  }
  key.public_members = member("e", "AQAB") + "," + member("kty", "RSA") + "," + member("n", from.text("n"));
  return adopt(from, key, algorithm::rs256, make_rsa(n->view(), d->view(), crt), !d->empty());
}

result<void> read_hmac(const reader& from, jwk& key) {
  if (key.use != jwk_use::user) return from.refuse("kty", "HS256 never makes machine tokens");
  auto k = from.octets("k");
  if (k.has_error()) return k.error();
  if (k->size() < symmetric_bytes)
    return from.refuse("k", "must be 32 octets or more (RFC 7518 section 3.2)");
  if (key.kid.empty()) return from.refuse("kid", "must be present: a secret has no thumbprint to publish");
  key.material.alg = algorithm::hs256;
  key.material.hmac_key = std::move(*k);
  return {};
}

result<void> read_signing_key(const reader& from, jwk& key) {
  if (from.has("use") && from.text("use") != "sig") return from.refuse("use", "must be sig");
  const std::string_view kty = from.text("kty");
  result<void> outcome = from.refuse("kty", "must be EC, RSA, OKP or oct");
  if (kty == "EC") outcome = read_ec(from, key);
  if (kty == "RSA") outcome = read_rsa(from, key);
  if (kty == "OKP") outcome = read_okp(from, key);
  if (kty == "oct") outcome = read_hmac(from, key);
  if (outcome.has_error()) return outcome;
  if (from.has("alg") && from.text("alg") != name_of(key.material.alg)) {
    return from.refuse("alg", "must be " + std::string{name_of(key.material.alg)} + " for this key");
  }
  if (key.kid.empty()) key.kid = thumbprint(key.public_members);
  return outcome;
}

result<void> read_numbered_key(const reader& from, jwk& key) {
  if (from.text("kty") != "oct") return from.refuse("kty", "must be oct for this pam_use");
  const char* const end = key.kid.data() + key.kid.size();
  const auto [stop, failure] = std::from_chars(key.kid.data(), end, key.number);
  if (failure != std::errc{} || stop != end || key.number >= (1U << 24) ||
      std::to_string(key.number) != key.kid) {
    return from.refuse("kid", "must be a decimal number below 16777216, as a string");
  }
  auto k = from.octets("k", symmetric_bytes);
  if (k.has_error()) return k.error();
  key.octets = std::move(*k);
  return {};
}

result<jwk> read_key(const reader& from, std::span<const jwk_use> allowed) {
  jwk key;
  const auto use = find_word(uses, from.text("pam_use"));
  if (!use || std::ranges::find(allowed, *use) == allowed.end()) {
    std::string choice;
    for (const jwk_use each : allowed) choice.append(choice.empty() ? "" : ", ").append(to_string(each));
    return from.refuse("pam_use", "must be one of " + choice);
  }
  const auto state = find_word(states, from.text("pam_state"));
  if (!state) return from.refuse("pam_state", "must be next, current or previous");
  key.use = *use;
  key.state = *state;
  key.kid = from.text("kid");
  const auto is_plain = [](char c) { return c > ' ' && c < '\x7f' && c != '"' && c != '\\'; };
  if ((from.has("kid") && key.kid.empty()) || key.kid.size() > max_kid_bytes ||
      !std::ranges::all_of(key.kid, is_plain)) {
    return from.refuse("kid", "must be a string of 1 to 64 printable ASCII characters");
  }
  if (from.has("pam_signs_from") &&
      (from.members.at_key("pam_signs_from").get(key.signs_from) != simdjson::SUCCESS ||
       key.signs_from <= 0)) {
    return from.refuse("pam_signs_from", "must be a moment in Unix seconds");
  }
  if (from.has("pam_accepts_no_kid") &&
      from.members.at_key("pam_accepts_no_kid").get(key.accepts_no_kid) != simdjson::SUCCESS) {
    return from.refuse("pam_accepts_no_kid", "must be true or false");
  }
  if (key.accepts_no_kid && (key.use != jwk_use::user || from.text("kty") != "oct")) {
    return from.refuse("pam_accepts_no_kid", "only an HS256 key of users may verify tokens without a kid");
  }
  const bool is_signing = key.use == jwk_use::user || key.use == jwk_use::machine;
  const auto outcome = is_signing ? read_signing_key(from, key) : read_numbered_key(from, key);
  if (outcome.has_error()) return outcome.error();
  return key;
}

/// The secret of a symmetric key, whatever its use; empty for an asymmetric one.
std::span<const std::byte> shared_secret_of(const jwk& key) {
  return key.octets.empty() ? key.material.hmac_key.bytes() : key.octets.bytes();
}

result<void> check_set(std::span<const jwk> keys, std::span<const jwk_use> allowed) {
  for (const jwk_use use : allowed) {
    const auto count = std::ranges::count_if(
        keys, [use](const jwk& key) { return key.use == use && key.state == jwk_state::current; });
    if (count != 1) {
      return bad_key("keys: " + std::to_string(count) + " keys are current for pam_use " +
                     std::string{to_string(use)} + "; exactly one must be");
    }
  }
  if (std::ranges::count(keys, true, &jwk::accepts_no_kid) > 1)
    return bad_key("keys: only one key may have pam_accepts_no_kid");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const auto shared = shared_secret_of(keys[i]);
    for (std::size_t j = 0; j < i; ++j) {
      const std::string pair = "keys[" + std::to_string(j) + "] and keys[" + std::to_string(i) + "]";
      if (keys[i].kid == keys[j].kid) return bad_key(pair + " have the same kid");
      const bool is_same_key =
          (!keys[i].public_members.empty() && keys[i].public_members == keys[j].public_members) ||
          (!shared.empty() && equal(shared, shared_secret_of(keys[j])));
      if (is_same_key) return bad_key(pair + " are the same key; one key has one use and one kid");
    }
  }
  return {};
}

result<std::vector<jwk>> read_set(const simdjson::dom::object& set, std::span<const jwk_use> allowed) {
  simdjson::dom::array entries;
  if (set.at_key("keys").get(entries) != simdjson::SUCCESS)
    return bad_key("keys: must be an array (RFC 7517)");
  std::vector<jwk> keys;
  for (const simdjson::dom::element entry : entries) {
    reader from{.members = {}, .place = "keys[" + std::to_string(keys.size()) + "]"};
    if (entry.get(from.members) != simdjson::SUCCESS) return bad_key(from.place + ": must be an object");
    auto key = read_key(from, allowed);
    if (key.has_error()) return key.error();
    keys.push_back(std::move(*key));
  }
  const auto outcome = check_set(keys, allowed);
  if (outcome.has_error()) return outcome.error();
  return keys;
}

}  // namespace

std::string_view to_string(jwk_use use) {
  const auto found = std::ranges::find(uses, use, [](const auto& entry) { return entry.value; });
  return found->text;
}

result<std::vector<jwk>> parse_jwk_set(std::string_view text, std::span<const jwk_use> allowed) {
  simdjson::dom::parser parser;
  simdjson::dom::object set;
  if (!parse_strict(parser, text, set)) {
    wipe_document(parser);
    return bad_key("not a JSON object, or one with a member twice");
  }
  auto keys = read_set(set, allowed);
  wipe_document(parser);
  return keys;
}

std::string thumbprint(std::string_view public_members) {
  const std::string json = "{" + std::string{public_members} + "}";
  std::array<unsigned char, crypto_hash_sha256_BYTES> hash = {};
  crypto_hash_sha256(hash.data(), reinterpret_cast<const unsigned char*>(json.data()), json.size());
  return to_base64url(std::as_bytes(std::span{hash}));
}

}  // namespace pam::crypto::detail
