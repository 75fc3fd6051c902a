#include "server/crypto/key_ring.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <limits>
#include <utility>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/detail/jwt_claims.hpp"
#include "server/crypto/detail/key_file.hpp"
#include "server/crypto/detail/refresh_mac.hpp"
#include "server/crypto/detail/sodium.hpp"
#include "server/crypto/detail/strict_json.hpp"
#include "server/crypto/key_file_text.hpp"
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

/// When a key signs: never, always, or from a moment on.
constexpr std::int64_t signs_never = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t signs_always = std::numeric_limits<std::int64_t>::min();

std::int64_t signs_from(const jwk& key) {
  if (key.state == jwk_state::current) return signs_always;
  return key.state == jwk_state::next && key.signs_from > 0 ? key.signs_from : signs_never;
}

std::int64_t unix_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now())
      .time_since_epoch()
      .count();
}

struct signing_key {
  key_use use;
  std::int64_t signs_from;
  bool accepts_no_kid;
  std::string kid;
  detail::signing_material material;
  std::string header;  ///< the base64url JOSE header of what it signs, and the dot after it
};

struct refresh_key {
  std::uint32_t id;
  detail::refresh_mac mac;
  std::int64_t signs_from;
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

/// What one file held. Immutable.
struct key_ring::keys {
  std::vector<signing_key> signing;
  std::vector<refresh_key> refresh;
  std::string jwks;

  void add(jwk key) {
    if (key.use == jwk_use::refresh) {
      refresh.push_back({key.number, detail::refresh_mac{key.octets}, signs_from(key)});
      return;
    }
    // A shared secret is never published, a machine key is nobody's business (only we verify it).
    if (key.use == jwk_use::user && !key.public_members.empty()) {
      jwks.append(jwks.empty() ? "" : ",").append(public_jwk(key));
    }
    std::string header = jose_header(key);
    const auto use = key.use == jwk_use::user ? key_use::user : key_use::machine;
    signing.push_back({use, signs_from(key), key.accepts_no_kid, std::move(key.kid), std::move(key.material),
                       std::move(header)});
  }

  /// The key of `use` that signs now: of those whose moment has come, the latest.
  [[nodiscard]] const signing_key& current(key_use use) const {
    const std::int64_t now = unix_now();
    const signing_key* latest = nullptr;
    for (const signing_key& each : signing) {
      if (each.use != use || each.signs_from > now) continue;
      if (latest == nullptr || each.signs_from > latest->signs_from) latest = &each;
    }
    return *latest;  // parse_jwk_set() insists on a current key of each use
  }
  [[nodiscard]] const signing_key* find(std::string_view kid) const {
    const auto found = std::ranges::find(signing, kid, &signing_key::kid);
    return found != signing.end() ? &*found : nullptr;
  }
  /// The key of tokens that name none: old GoTrue ones.
  [[nodiscard]] const signing_key* nameless() const {
    const auto found = std::ranges::find(signing, true, &signing_key::accepts_no_kid);
    return found != signing.end() ? &*found : nullptr;
  }

  [[nodiscard]] std::size_t current_refresh() const {
    const std::int64_t now = unix_now();
    std::size_t latest = refresh.size();
    for (std::size_t i = 0; i < refresh.size(); ++i) {
      if (refresh[i].signs_from > now) continue;
      if (latest == refresh.size() || refresh[i].signs_from > refresh[latest].signs_from) latest = i;
    }
    return latest;
  }
};

/// The keys in use, and those some thread may still be reading: every use is one call long, so what was
/// exchanged a minute ago is nobody's any more.
struct key_ring::impl {
  struct retired {
    std::chrono::steady_clock::time_point since;
    std::unique_ptr<const keys> state;
  };
  std::unique_ptr<const keys> owned;
  std::atomic<const keys*> current;
  std::atomic<std::uint64_t> epoch{0};
  std::vector<retired> old;

  explicit impl(std::unique_ptr<const keys> state) : owned(std::move(state)), current(owned.get()) {}
  [[nodiscard]] const keys& now() const { return *current.load(std::memory_order_acquire); }
};

key_ring::key_ring(std::unique_ptr<const keys> state) : impl_(std::make_unique<impl>(std::move(state))) {}
key_ring::key_ring(key_ring&&) noexcept = default;
key_ring& key_ring::operator=(key_ring&&) noexcept = default;
key_ring::~key_ring() = default;

void key_ring::exchange(key_ring fresh) {
  constexpr std::chrono::minutes grace{1};
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(impl_->old,
                [latest = now - grace](const impl::retired& each) { return each.since < latest; });
  impl_->old.push_back({now, std::move(impl_->owned)});
  impl_->owned = std::move(fresh.impl_->owned);
  impl_->current.store(impl_->owned.get(), std::memory_order_release);
  impl_->epoch.fetch_add(1, std::memory_order_release);
}

std::uint64_t key_ring::epoch() const {
  return impl_->epoch.load(std::memory_order_acquire);
}

result<key_ring> key_ring::load(const std::string& file, const sealer* unsealer) {
  const auto text = read_key_text(file, unsealer);
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
  auto state = std::make_unique<key_ring::keys>();
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
  const signing_key& key = impl_->now().current(use);
  std::string jwt = key.header + detail::public_to_base64url(claims);
  const auto signature = detail::sign(key.material, jwt);
  if (signature.has_error()) return signature.error();
  jwt.append(".").append(detail::public_to_base64url(*signature));
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
  const auto header_text = detail::public_from_base64url(parts.header);
  if (!header_text) return bad_token("the header is no canonical base64url");
  const auto header = detail::read_jwt_header(*header_text);
  if (header.has_error()) return header.error();

  const keys& held = impl_->now();
  // Only an HS256 key may be marked so, and alg must still be the key's.
  const signing_key* const key = header->kid.empty() ? held.nameless() : held.find(header->kid);
  if (key == nullptr && header->kid.empty()) return bad_token("kid is missing");
  if (key == nullptr) return error{errc::unknown_key, "kid names no key of ours"};
  // RFC 8725 section 3.1: the key says which algorithm, the header may only agree.
  if (header->alg != detail::name_of(key->material.alg)) return bad_token("alg is not the key's");
  const auto signature = detail::public_from_base64url(parts.signature);
  if (!signature || !detail::verify(key->material, parts.signed_part, *signature)) {
    return bad_token("the signature is wrong");
  }

  auto payload = detail::public_from_base64url(parts.payload);
  if (!payload) return bad_token("the payload is no canonical base64url");
  const auto claims = detail::check_jwt_claims(*payload, expected);
  if (claims.has_error()) return claims.error();
  return verified_jwt{std::move(*payload), key->use, key->kid};
}

std::string key_ring::public_jwks() const {
  return impl_->now().jwks;
}

refresh_token key_ring::first_refresh_token(const boost::uuids::uuid& account,
                                            const boost::uuids::uuid& session) const {
  refresh_token token;
  token.account = account;
  token.session = session;
  fill_random(token.salt);
  return derive(token, 0);
}

refresh_token key_ring::derive(const refresh_token& seen, std::uint32_t generation, std::size_t nth) const {
  const keys& held = impl_->now();
  const std::size_t first = held.current_refresh();
  // The others in the file's order, the first one left out. A ring exchanged meanwhile may hold fewer.
  std::size_t at = first;
  if (nth > 0) at = std::min(nth <= first ? nth - 1 : nth, held.refresh.size() - 1);
  const refresh_key& key = held.refresh[at];
  refresh_token token = seen;
  token.version = refresh_token_version;
  token.key_id = key.id;
  token.generation = generation;
  token.secret = key.mac.of(token);
  return token;
}

std::size_t key_ring::refresh_keys() const {
  return impl_->now().refresh.size();
}

bool key_ring::is_genuine(const refresh_token& token) const {
  if (token.version != refresh_token_version) return false;
  const keys& held = impl_->now();
  const auto key = std::ranges::find(held.refresh, token.key_id, &refresh_key::id);
  if (key == held.refresh.end()) return false;
  const auto genuine = key->mac.of(token);
  return equal(genuine, token.secret);
}

mac_tag key_ring::tag(std::string_view domain, std::string_view text) const {
  const keys& held = impl_->now();
  return held.refresh[held.current_refresh()].mac.of(domain, text);
}

bool key_ring::is_tag(std::string_view domain, std::string_view text, const mac_tag& presented) const {
  return std::ranges::any_of(impl_->now().refresh, [&](const refresh_key& key) {
    return equal(key.mac.of(domain, text), presented);
  });
}

}  // namespace pam::crypto
