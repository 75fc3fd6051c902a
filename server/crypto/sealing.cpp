#include "server/crypto/sealing.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/detail/key_file.hpp"
#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto {

namespace {

using detail::jwk;
using detail::jwk_state;
using detail::jwk_use;

constexpr std::array sealing_uses{jwk_use::seal};
constexpr std::byte version{1};
constexpr std::size_t header_bytes = 4;
constexpr std::size_t nonce_bytes = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES;
constexpr std::size_t tag_bytes = crypto_aead_xchacha20poly1305_ietf_ABYTES;
static_assert(header_bytes + nonce_bytes + tag_bytes == sealing_overhead);

const unsigned char* octets(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
unsigned char* octets(std::span<std::byte> bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

/// What is authenticated beside the text: the header, so that version and key id cannot be swapped,
/// then the caller's words. The header has a fixed length, so the two cannot run into each other.
std::string bound_to(std::span<const std::byte> header, std::string_view associated) {
  std::string bound{reinterpret_cast<const char*>(header.data()), header.size()};
  return bound.append(associated);
}

bool is_well_formed(std::span<const std::byte> sealed) {
  return sealed.size() >= sealing_overhead && sealed[0] == version;
}

std::uint32_t key_id_of(std::span<const std::byte> sealed) {
  return std::to_integer<std::uint32_t>(sealed[1]) << 16 | std::to_integer<std::uint32_t>(sealed[2]) << 8 |
         std::to_integer<std::uint32_t>(sealed[3]);
}

}  // namespace

struct sealer::impl {
  std::vector<jwk> keys;  ///< the current one first
};

sealer::sealer(std::unique_ptr<impl> state) : impl_(std::move(state)) {}
sealer::sealer(sealer&&) noexcept = default;
sealer& sealer::operator=(sealer&&) noexcept = default;
sealer::~sealer() = default;

result<sealer> sealer::load(const std::string& file) {
  const auto text = detail::read_key_file(file);
  if (text.has_error()) return text.error();
  auto made = parse(text->view());
  if (made.has_error()) return detail::in_file(file, made.error());
  return made;
}

result<sealer> sealer::parse(std::string_view jwk_set) {
  detail::ensure_sodium();
  auto keys = detail::parse_jwk_set(jwk_set, sealing_uses);
  if (keys.has_error()) return keys.error();
  std::ranges::stable_partition(*keys, [](const jwk& key) { return key.state == jwk_state::current; });
  auto state = std::make_unique<impl>();
  state->keys = std::move(*keys);
  return sealer{std::move(state)};
}

secret sealer::generate() {
  const secret key = detail::generate_numbered_jwk(jwk_use::seal);
  std::string set;
  set.reserve(key.size() + 32);
  set.append("{\"keys\":[\n").append(key.view()).append("\n]}\n");
  secret text{set};
  wipe(set.data(), set.size());
  return text;
}

std::vector<std::byte> sealer::seal(std::span<const std::byte> plain, std::string_view associated) const {
  const jwk& key = impl_->keys.front();
  std::vector<std::byte> sealed(sealing_overhead + plain.size());
  const std::span out{sealed};
  out[0] = version;
  for (std::size_t i = 0; i < 3; ++i) out[1 + i] = static_cast<std::byte>(key.number >> (16 - 8 * i));
  const auto nonce = out.subspan(header_bytes, nonce_bytes);
  // 192 random bits: never the same twice, whoever seals (libsodium, XChaCha20-Poly1305 page).
  randombytes_buf(nonce.data(), nonce.size());
  const std::string bound = bound_to(out.first(header_bytes), associated);
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      octets(out.subspan(header_bytes + nonce_bytes)), nullptr, octets(plain), plain.size(),
      reinterpret_cast<const unsigned char*>(bound.data()), bound.size(), nullptr,
      octets(std::span<const std::byte>{nonce}), octets(key.octets.bytes()));
  return sealed;
}

result<secret> sealer::open(std::span<const std::byte> sealed, std::string_view associated) const {
  if (!is_well_formed(sealed)) return error{errc::failure, "not a sealed value of version 1"};
  const auto key = std::ranges::find(impl_->keys, key_id_of(sealed), &jwk::number);
  if (key == impl_->keys.end()) {
    return error{errc::unknown_key,
                 "sealed under key " + std::to_string(key_id_of(sealed)) + ", which is not held"};
  }
  const std::string bound = bound_to(sealed.first(header_bytes), associated);
  const auto box = sealed.subspan(header_bytes + nonce_bytes);
  std::vector<std::byte> plain(box.size() - tag_bytes);
  const int outcome = crypto_aead_xchacha20poly1305_ietf_decrypt(
      octets(std::span{plain}), nullptr, nullptr, octets(box), box.size(),
      reinterpret_cast<const unsigned char*>(bound.data()), bound.size(),
      octets(sealed.subspan(header_bytes, nonce_bytes)), octets(key->octets.bytes()));
  if (outcome != 0) return error{errc::failure, "a sealed value was changed or belongs to something else"};
  secret opened{std::span<const std::byte>{plain}};
  wipe(plain.data(), plain.size());
  return opened;
}

bool sealer::needs_reseal(std::span<const std::byte> sealed) const {
  return is_well_formed(sealed) && key_id_of(sealed) != impl_->keys.front().number;
}

}  // namespace pam::crypto
