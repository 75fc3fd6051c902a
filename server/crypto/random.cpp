#include "server/crypto/random.hpp"

#include <algorithm>

#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto {

namespace {

// RFC 9562 sections 4.1 and 4.2: the version is the high nibble of octet 6, the variant 10 the top
// bits of octet 8.
void stamp(boost::uuids::uuid& id, std::uint8_t version) {
  id.data[6] = static_cast<std::uint8_t>((id.data[6] & 0x0F) | (version << 4));
  id.data[8] = static_cast<std::uint8_t>((id.data[8] & 0x3F) | 0x80);
}

}  // namespace

void fill_random(std::span<std::byte> out) {
  detail::ensure_sodium();
  randombytes_buf(out.data(), out.size());
}

std::uint32_t random_below(std::uint32_t bound) {
  detail::ensure_sodium();
  return randombytes_uniform(bound);
}

boost::uuids::uuid uuid_v7(std::chrono::system_clock::time_point now) {
  const auto since_epoch = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  const auto milliseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(since_epoch.count(), 0));
  boost::uuids::uuid id = {};
  for (std::size_t i = 0; i < 6; ++i) {
    id.data[i] = static_cast<std::uint8_t>(milliseconds >> (40 - 8 * i));
  }
  fill_random(std::as_writable_bytes(std::span{id.data}).subspan(6));
  stamp(id, 7);
  return id;
}

boost::uuids::uuid uuid_v4() {
  boost::uuids::uuid id = {};
  fill_random(std::as_writable_bytes(std::span{id.data}));
  stamp(id, 4);
  return id;
}

}  // namespace pam::crypto
