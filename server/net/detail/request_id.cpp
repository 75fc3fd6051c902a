#include "server/net/detail/request_id.hpp"

#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace pam::net::detail {
namespace {

constexpr char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

}  // namespace

std::array<char, 26> encode_request_id(std::uint64_t milliseconds,
                                       const std::array<std::uint8_t, 10>& random) {
  std::array<char, 26> text{};
  for (std::size_t i = 10; i-- > 0; milliseconds >>= 5) text[i] = alphabet[milliseconds & 31];
  // Two groups of 40 bits, eight characters each.
  for (std::size_t group = 0; group < 2; ++group) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < 5; ++i) bits = bits << 8 | random[group * 5 + i];
    for (std::size_t i = 8; i-- > 0; bits >>= 5) text[10 + group * 8 + i] = alphabet[bits & 31];
  }
  return text;
}

std::array<char, 26> request_ids::next(std::chrono::system_clock::time_point now) {
  std::array<std::uint8_t, 10> random{};
  if (used_ + random.size() > random_.size()) refill();
  std::copy_n(random_.begin() + static_cast<std::ptrdiff_t>(used_), random.size(), random.begin());
  used_ += random.size();
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  return encode_request_id(static_cast<std::uint64_t>(since.count()), random);
}

void request_ids::refill() {
  std::size_t filled = 0;
  while (filled < random_.size()) {
    const ssize_t got = ::getrandom(random_.data() + filled, random_.size() - filled, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), "getrandom");
    filled += static_cast<std::size_t>(got);
  }
  used_ = 0;
}

}  // namespace pam::net::detail
