#include "server/crypto/secret.hpp"

#include <sodium.h>

#include <utility>

namespace pam::crypto {

secret::secret(std::string_view text) : value_(text) {}

secret::secret(std::span<const std::byte> bytes)
    : value_(reinterpret_cast<const char*>(bytes.data()), bytes.size()) {}

secret::secret(secret&& other) noexcept : value_(std::move(other.value_)) {
  // A short string lives inside the object: moving copies it and leaves the bytes behind.
  other.wipe();
}

secret& secret::operator=(secret&& other) noexcept {
  if (this != &other) {
    wipe();
    value_ = std::move(other.value_);
    other.wipe();
  }
  return *this;
}

secret::~secret() {
  wipe();
}

void secret::wipe() noexcept {
  // Up to the capacity: what was once longer left bytes behind the end. Never allocates.
  value_.resize(value_.capacity());
  pam::crypto::wipe(value_.data(), value_.size());
  value_.clear();
}

bool equal(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && sodium_memcmp(a.data(), b.data(), a.size()) == 0;
}

void wipe(void* data, std::size_t size) noexcept {
  sodium_memzero(data, size);
}

}  // namespace pam::crypto
