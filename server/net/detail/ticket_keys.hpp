#pragma once

#include <openssl/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <mutex>
#include <optional>
#include <span>
#include <string>

namespace pam::net::detail {

/// Session ticket keys that every process with the same secret derives alike: HKDF-SHA256(secret, hour).
/// The current hour's key encrypts; the previous and the next hour's (clocks differ) are accepted.
/// Thread-safe: one context may serve several shards.
class ticket_keys {
 public:
  /// Bytes a secret must have at least.
  static constexpr std::size_t least_secret = 32;

  struct key {
    std::uint64_t hour = 0;
    std::array<unsigned char, 16> name{};
    std::array<unsigned char, 32> encryption{};  ///< AES-256-CBC
    std::array<unsigned char, 32> integrity{};   ///< HMAC-SHA256
  };

  explicit ticket_keys(std::string secret);
  ~ticket_keys();
  ticket_keys(const ticket_keys&) = delete;
  ticket_keys& operator=(const ticket_keys&) = delete;

  /// The key new tickets are made with; empty when OpenSSL failed.
  [[nodiscard]] std::optional<key> current(std::time_t now);
  /// The accepted key with this name at this time.
  [[nodiscard]] std::optional<key> find(std::span<const unsigned char, 16> name, std::time_t now);

  /// Installs the keys in a context, which then owns them.
  static bool install(SSL_CTX* context, std::string secret);

 private:
  bool refresh(std::uint64_t hour);
  bool derive(std::uint64_t hour, key& into) const;

  std::string secret_;
  std::mutex mutex_;
  std::array<key, 3> keys_;  ///< previous, current, next
  bool is_filled_ = false;
};

}  // namespace pam::net::detail
