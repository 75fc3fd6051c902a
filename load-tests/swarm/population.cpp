#include "load-tests/swarm/population.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "protocol/claims.hpp"
#include "server/auth/known_devices.hpp"

namespace pam::load {
namespace {

using digest = std::array<unsigned char, SHA256_DIGEST_LENGTH>;

digest digest_of(const char* what, std::uint64_t epoch, std::uint32_t index) {
  const std::string text = fmt::format("pam swarm {} {} {}", what, epoch, index);
  digest made{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), made.data());
  return made;
}

/// RFC 9562, 5.7: 48 bits of milliseconds, version 7, variant 10, the rest as given.
boost::uuids::uuid uuid7(std::uint64_t milliseconds, const digest& rest) {
  boost::uuids::uuid id{};
  for (std::size_t i = 0; i < 6; ++i) {
    id.data[i] = static_cast<std::uint8_t>(milliseconds >> (40 - 8 * i) & 0xff);
  }
  std::copy_n(rest.begin(), 10, id.begin() + 6);
  id.data[6] = static_cast<std::uint8_t>((id.data[6] & 0x0f) | 0x70);
  id.data[8] = static_cast<std::uint8_t>((id.data[8] & 0x3f) | 0x80);
  return id;
}

}  // namespace

population::population(std::chrono::milliseconds epoch, const crypto::key_ring& keys, std::string issuer)
    : epoch_(static_cast<std::uint64_t>(epoch.count())), keys_(keys), issuer_(std::move(issuer)) {}

seat population::at(std::uint32_t index) const {
  seat made;
  made.index = index;
  made.account = uuid7(epoch_ + index, digest_of("account", epoch_, index));
  made.session = uuid7(epoch_ + index, digest_of("session", epoch_, index));
  made.identity = uuid7(epoch_ + index, digest_of("identity", epoch_, index));
  const digest salt = digest_of("salt", epoch_, index);
  std::transform(salt.begin(), salt.begin() + 16, made.salt.begin(),
                 [](unsigned char c) { return std::byte{c}; });
  made.email = fmt::format("user{}.{}@swarm.example", index, epoch_);
  return made;
}

crypto::refresh_token population::first_token(const seat& of) const {
  crypto::refresh_token seen;
  seen.account = of.account;
  seen.session = of.session;
  seen.salt = of.salt;
  return keys_.derive(seen, 0);
}

std::string population::access_token(const seat& of, std::chrono::seconds issued,
                                     std::chrono::seconds lifetime) const {
  protocol::access_claims claims;
  claims.iss = issuer_;
  claims.sub = of.account;
  claims.exp = (issued + lifetime).count();
  claims.iat = issued.count();
  claims.email = of.email;
  claims.app_metadata = R"({"provider":"email","providers":["email"]})";
  claims.user_metadata = user_metadata_of(of);
  claims.role = "authenticated";
  claims.amr = {{"password", issued.count()}};
  claims.session_id = of.session;
  auto token = keys_.sign(crypto::key_use::user, protocol::encode(claims));
  if (token.has_error()) throw std::runtime_error("cannot sign an access token: " + token.error().detail);
  return std::move(*token);
}

std::string population::device(const boost::uuids::uuid& account) const {
  return auth::new_device_text(keys_, account);
}

std::string user_metadata_of(const seat& of) {
  return fmt::format(R"({{"email":"{}","email_verified":true,"phone_verified":false,"sub":"{}"}})", of.email,
                     to_text(of.account));
}

std::string to_hex(const std::byte* bytes, std::size_t count) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(count * 2);
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = std::to_integer<unsigned>(bytes[i]);
    text += digits[value >> 4];
    text += digits[value & 15];
  }
  return text;
}

std::string to_text(const boost::uuids::uuid& id) {
  std::string text = to_hex(reinterpret_cast<const std::byte*>(id.data), 16);
  for (const std::size_t at : {20U, 16U, 12U, 8U}) text.insert(at, 1, '-');
  return text;
}

}  // namespace pam::load
