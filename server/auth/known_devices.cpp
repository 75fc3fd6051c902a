#include "server/auth/known_devices.hpp"

#include <algorithm>
#include <span>

#include "server/auth/detail/hex.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

constexpr std::string_view prefix = "pamd1_";
constexpr std::string_view domain = "pam device v1";
constexpr std::size_t named_bytes = 32;  ///< account and nonce, what the tag is over
constexpr std::size_t image_bytes = named_bytes + 16;

std::string_view characters(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

std::string new_device_text(const crypto::key_ring& keys, const uuid& account) {
  std::array<std::byte, image_bytes> image = {};
  std::ranges::copy(std::as_bytes(std::span{account.data}), image.begin());
  crypto::fill_random(std::span{image}.subspan(16, 16));
  const auto tag = keys.tag(domain, characters(std::span{image}.first(named_bytes)));
  std::ranges::copy(tag, image.begin() + named_bytes);
  return std::string{prefix} + detail::to_hex(image);
}

std::optional<device> recognise(const crypto::key_ring& keys, std::string_view text) {
  std::array<std::byte, image_bytes> image = {};
  if (!text.starts_with(prefix) || !detail::from_hex(text.substr(prefix.size()), image)) return std::nullopt;
  const std::span bytes{image};
  crypto::mac_tag presented = {};
  std::ranges::copy(bytes.subspan(named_bytes), presented.begin());
  if (!keys.is_tag(domain, characters(bytes.first(named_bytes)), presented)) return std::nullopt;
  device found;
  std::ranges::copy(bytes.first(16), std::as_writable_bytes(std::span{found.account.data}).begin());
  std::ranges::copy(bytes.subspan(16, 16), found.nonce.begin());
  return found;
}

}  // namespace pam::auth
