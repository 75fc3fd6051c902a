#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace pam::crypto {

/// Owned secret bytes: wiped on destruction and on move-from, never printable, compared in constant time.
class secret {
 public:
  secret() = default;
  explicit secret(std::string_view text);
  explicit secret(std::span<const std::byte> bytes);
  secret(secret&& other) noexcept;
  secret& operator=(secret&& other) noexcept;
  secret(const secret&) = delete;
  secret& operator=(const secret&) = delete;
  ~secret();

  [[nodiscard]] std::string_view view() const { return value_; }
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return std::as_bytes(std::span{value_.data(), value_.size()});
  }
  [[nodiscard]] bool empty() const { return value_.empty(); }
  [[nodiscard]] std::size_t size() const { return value_.size(); }
  /// An explicit second owner.
  [[nodiscard]] secret clone() const { return secret{view()}; }

 private:
  void wipe() noexcept;
  std::string value_;
};

/// Constant-time equality of equally long inputs; false at once when the lengths differ.
[[nodiscard]] bool equal(std::span<const std::byte> a, std::span<const std::byte> b);

/// Overwrites memory in a way the compiler keeps.
void wipe(void* data, std::size_t size) noexcept;

}  // namespace pam::crypto
