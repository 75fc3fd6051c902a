#pragma once

#include <openssl/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pam::bench {

/// Traffic secrets of one TLS 1.3 connection (RFC 8446 section 7.1), as SSL_CTX_set_keylog_callback(3) tells
/// them.
struct traffic_secrets {
  std::vector<std::uint8_t> client;
  std::vector<std::uint8_t> server;
};

/// One direction of TLS 1.3 records under AES-GCM (RFC 8446 section 5.2): what SSL_write and SSL_read do once
/// a connection stands, without OpenSSL's object. For a generator only: knows no alert, no new key, no
/// ticket.
class record_layer {
 public:
  enum class direction : std::uint8_t { seals, opens };
  static constexpr std::size_t header_bytes = 5;
  static constexpr char application_data = 23;  ///< the content type
  /// What a record is longer than its text: header, content type and tag.
  static constexpr std::size_t overhead = header_bytes + 1 + 16;

  /// @param cipher    of the connection: AES-GCM
  /// @param digest    of its cipher suite
  /// @param sequence  number of the next record
  /// @throws std::runtime_error  when OpenSSL refuses
  record_layer(direction how, std::span<const std::uint8_t> secret, const EVP_CIPHER* cipher,
               const EVP_MD* digest, std::uint64_t sequence);

  /// @param text  with `application_data` behind it, all of it at most 16 KiB
  /// @return the record, good until the next call
  [[nodiscard]] std::string_view seal(std::string_view text);
  /// @param record  a whole one
  /// @return the text, good until the next call; nullopt when the tag is wrong
  [[nodiscard]] std::optional<std::string_view> open(std::string_view record);
  /// Counts a record that nobody opens.
  void skip() { ++sequence_; }
  void skip_to(std::uint64_t sequence) { sequence_ = sequence; }

 private:
  struct context_delete {
    void operator()(EVP_CIPHER_CTX* of) const;
  };
  [[nodiscard]] std::array<unsigned char, 12> nonce() const;

  std::unique_ptr<EVP_CIPHER_CTX, context_delete> context_;
  std::array<unsigned char, 12> iv_{};
  std::uint64_t sequence_;
  std::string out_;
};

}  // namespace pam::bench
