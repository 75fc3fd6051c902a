#include "server/crypto/key_ring.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/detail/jwt_claims.hpp"
#include "server/crypto/detail/key_file.hpp"
#include "server/crypto/detail/refresh_mac.hpp"
#include "server/crypto/detail/sodium.hpp"
#include "server/crypto/detail/strict_json.hpp"
#include "server/crypto/random.hpp"

namespace pam::crypto {

namespace {

using detail::jwk;
using detail::jwk_state;
using detail::jwk_use;

constexpr std::array ring_uses{jwk_use::user, jwk_use::machine, jwk_use::refresh};
constexpr std::size_t max_jwt_header_bytes = 512;

error bad_token(std::string_view why) {
  return {errc::bad_token, std::string{why}};
}

struct signing_key {
  key_use use;
  std::string kid;
  detail::signing_material material;
  std::string header;  ///< the base64url JOSE header of what it signs, and the dot after it
};

struct refresh_key {
  std::uint32_t id;
  detail::refresh_mac mac;
};

std::string jose_header(const jwk& key) {
  const std::string json = R"({"alg":)" + detail::json_string(detail::name_of(key.material.alg)) +
                           R"(,"kid":)" + detail::json_string(key.kid) + R"(,"typ":"JWT"})";
  return detail::to_base64url(json) + ".";
}

std::string public_jwk(const jwk& key) {
  return "{" + key.public_members + R"(,"alg":)" + detail::json_string(detail::name_of(key.material.alg)) +
         R"(,"kid":)" + detail::json_string(key.kid) + R"(,"use":"sig","key_ops":["verify"]})";
}

/// The three parts of a compact JWS; false when there are more or fewer.
struct jws_parts {
  std::string_view header, payload, signature, signed_part;
};
bool split(std::string_view jwt, jws_parts& out) {
  const auto first = jwt.find('.');
  const auto last = jwt.rfind('.');
  if (first == std::string_view::npos || first == last || jwt.find('.', first + 1) != last) return false;
  out.header = jwt.substr(0, first);
  out.payload = jwt.substr(first + 1, last - first - 1);
  out.signature = jwt.substr(last + 1);
  out.signed_part = jwt.substr(0, last);
  return true;
}

}  // namespace

struct key_ring::impl {
  std::vector<signing_key> signing;  ///< current ones first
  std::vector<refresh_key> refresh;  ///< the current one first, then as in the file
  bool has_previous = false;
  std::size_t previous_at = 0;
  std::string jwks;

  void add(jwk key) {
    if (key.use == jwk_use::refresh) {
      if (key.state == jwk_state::previous && !has_previous) {
        has_previous = true;
        previous_at = refresh.size();
      }
      refresh.push_back({key.number, detail::refresh_mac{key.octets}});
      return;
    }
    // A shared secret is never published, a machine key is nobody's business (only we verify it).
    if (key.use == jwk_use::user && !key.public_members.empty()) {
      jwks.append(jwks.empty() ? "" : ",").append(public_jwk(key));
    }
    std::string header = jose_header(key);
    signing.push_back({key.use == jwk_use::user ? key_use::user : key_use::machine, std::move(key.kid),
                       std::move(key.material), std::move(header)});
  }

  [[nodiscard]] const signing_key& current(key_use use) const {
    return *std::ranges::find(signing, use, &signing_key::use);
  }
  [[nodiscard]] const signing_key* find(std::string_view kid) const {
    const auto found = std::ranges::find(signing, kid, &signing_key::kid);
    return found != signing.end() ? &*found : nullptr;
  }
};

key_ring::key_ring(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
key_ring::key_ring(key_ring&&) noexcept = default;
key_ring& key_ring::operator=(key_ring&&) noexcept = default;
key_ring::~key_ring() = default;

result<key_ring> key_ring::load(const std::string& file) {
  const auto text = detail::read_key_file(file);
  if (text.has_error()) return text.error();
  auto ring = parse(text->view());
  if (ring.has_error()) return detail::in_file(file, ring.error());
  return ring;
}

result<key_ring> key_ring::parse(std::string_view jwk_set) {
  detail::ensure_sodium();
  auto keys = detail::parse_jwk_set(jwk_set, ring_uses);
  if (keys.has_error()) return keys.error();
  std::ranges::stable_partition(*keys, [](const jwk& key) { return key.state == jwk_state::current; });
  auto state = std::make_unique<impl>();
  for (jwk& key : *keys) state->add(std::move(key));
  state->jwks = R"({"keys":[)" + state->jwks + "]}";
  return key_ring{std::move(state)};
}

result<std::string> key_ring::generate(algorithm signing) {
  detail::ensure_sodium();
  // Machine tokens are never HS256: whoever can check one could mint one.
  const algorithm machine = signing == algorithm::hs256 ? algorithm::es256 : signing;
  const auto user_key = detail::generate_signing_jwk(jwk_use::user, signing);
  if (user_key.has_error()) return user_key.error();
  const auto machine_key = detail::generate_signing_jwk(jwk_use::machine, machine);
  if (machine_key.has_error()) return machine_key.error();
  const secret refresh_key = detail::generate_numbered_jwk(jwk_use::refresh);
  std::string set;
  set.reserve(user_key->size() + machine_key->size() + refresh_key.size() + 64);
  set.append("{\"keys\":[\n").append(user_key->view()).append(",\n").append(machine_key->view());
  set.append(",\n").append(refresh_key.view()).append("\n]}\n");
  return set;
}

result<std::string> key_ring::sign(key_use use, std::string_view claims) const {
  const signing_key& key = impl_->current(use);
  std::string jwt = key.header + detail::to_base64url(claims);
  const auto signature = detail::sign(key.material, jwt);
  if (signature.has_error()) return signature.error();
  jwt.append(".").append(detail::to_base64url(*signature));
  if (jwt.size() > max_jwt_bytes) {
    return error{errc::bad_token,
                 "the token would have " + std::to_string(jwt.size()) + " bytes, nobody would accept it"};
  }
  return jwt;
}

result<verified_jwt> key_ring::verify(std::string_view jwt, const jwt_expectation& expected) const {
  jws_parts parts;
  if (jwt.size() > max_jwt_bytes) return bad_token("longer than 8 KB");
  if (!split(jwt, parts)) return bad_token("not three parts");
  if (parts.header.size() > max_jwt_header_bytes) return bad_token("the header is too long");
  const auto header_text = detail::from_base64url(parts.header);
  if (!header_text) return bad_token("the header is no canonical base64url");
  const auto header = detail::read_jwt_header(*header_text);
  if (header.has_error()) return header.error();

  const signing_key* const key = impl_->find(header->kid);
  if (key == nullptr) return error{errc::unknown_key, "kid names no key of ours"};
  // RFC 8725 section 3.1: the key says which algorithm, the header may only agree.
  if (header->alg != detail::name_of(key->material.alg)) return bad_token("alg is not the key's");
  const auto signature = detail::from_base64url(parts.signature);
  if (!signature || !detail::verify(key->material, parts.signed_part, *signature)) {
    return bad_token("the signature is wrong");
  }

  auto payload = detail::from_base64url(parts.payload);
  if (!payload) return bad_token("the payload is no canonical base64url");
  const auto claims = detail::check_jwt_claims(*payload, expected);
  if (claims.has_error()) return claims.error();
  return verified_jwt{std::move(*payload), key->use, key->kid};
}

const std::string& key_ring::public_jwks() const {
  return impl_->jwks;
}

refresh_token key_ring::first_refresh_token(const boost::uuids::uuid& account,
                                            const boost::uuids::uuid& session) const {
  refresh_token token;
  token.account = account;
  token.session = session;
  fill_random(token.salt);
  return derive(token, 0);
}

refresh_token key_ring::derive(const refresh_token& seen, std::uint32_t generation,
                               bool with_previous) const {
  const bool is_previous = with_previous && impl_->has_previous;
  const refresh_key& key = impl_->refresh[is_previous ? impl_->previous_at : 0];
  refresh_token token = seen;
  token.version = refresh_token_version;
  token.key_id = key.id;
  token.generation = generation;
  token.secret = key.mac.of(token);
  return token;
}

bool key_ring::has_previous_refresh_key() const {
  return impl_->has_previous;
}

bool key_ring::is_genuine(const refresh_token& token) const {
  if (token.version != refresh_token_version) return false;
  const auto key = std::ranges::find(impl_->refresh, token.key_id, &refresh_key::id);
  if (key == impl_->refresh.end()) return false;
  const auto genuine = key->mac.of(token);
  return equal(genuine, token.secret);
}

}  // namespace pam::crypto
