#include "bench/net_tools/record_layer.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <stdexcept>

namespace pam::bench {
namespace {

constexpr std::size_t tag_bytes = 16;

unsigned char* bytes_of(std::string& of, std::size_t at) {
  return reinterpret_cast<unsigned char*>(of.data()) + at;
}

const unsigned char* bytes_of(std::string_view of) {
  return reinterpret_cast<const unsigned char*>(of.data());
}

void require(bool is_good) {
  if (!is_good) throw std::runtime_error("OpenSSL refuses a TLS record");
}

/// HKDF-Expand-Label with no context (RFC 8446 section 7.1), of at most one digest.
std::vector<std::uint8_t> expand_label(std::span<const std::uint8_t> secret, const EVP_MD* digest,
                                       std::string_view label, std::size_t length) {
  const std::string whole = "tls13 " + std::string(label);
  std::string info{'\0', static_cast<char>(length), static_cast<char>(whole.size())};
  info += whole;
  info += '\0';
  info += '\1';
  std::vector<std::uint8_t> out(EVP_MAX_MD_SIZE);
  require(HMAC(digest, secret.data(), static_cast<int>(secret.size()), bytes_of(info), info.size(),
               out.data(), nullptr) != nullptr);
  out.resize(length);
  return out;
}

}  // namespace

void record_layer::context_delete::operator()(EVP_CIPHER_CTX* of) const {
  EVP_CIPHER_CTX_free(of);
}

record_layer::record_layer(direction how, std::span<const std::uint8_t> secret, const EVP_CIPHER* cipher,
                           const EVP_MD* digest, std::uint64_t sequence)
    : context_(EVP_CIPHER_CTX_new()), sequence_(sequence) {
  const auto key =
      expand_label(secret, digest, "key", static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher)));
  const auto iv = expand_label(secret, digest, "iv", iv_.size());
  std::copy(iv.begin(), iv.end(), iv_.begin());
  require(EVP_CipherInit_ex(context_.get(), cipher, nullptr, key.data(), iv_.data(),
                            how == direction::seals ? 1 : 0) == 1);
}

std::array<unsigned char, 12> record_layer::nonce() const {
  std::array<unsigned char, 12> made = iv_;
  for (std::size_t i = 0; i < sizeof(sequence_); ++i)
    made[made.size() - 1 - i] ^= static_cast<unsigned char>(sequence_ >> (8 * i));
  return made;
}

std::string_view record_layer::seal(std::string_view text) {
  const std::size_t length = text.size() + tag_bytes;
  out_.resize(header_bytes + length);
  out_[0] = application_data;
  out_[1] = out_[2] = 3;
  out_[3] = static_cast<char>(length >> 8);
  out_[4] = static_cast<char>(length & 0xff);
  EVP_CIPHER_CTX* const context = context_.get();
  int done = 0;
  const auto at = nonce();
  require(EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, at.data()) == 1 &&
          EVP_EncryptUpdate(context, nullptr, &done, bytes_of(out_, 0), header_bytes) == 1 &&
          EVP_EncryptUpdate(context, bytes_of(out_, header_bytes), &done, bytes_of(text),
                            static_cast<int>(text.size())) == 1 &&
          EVP_EncryptFinal_ex(context, bytes_of(out_, header_bytes + text.size()), &done) == 1 &&
          EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tag_bytes,
                              bytes_of(out_, header_bytes + text.size())) == 1);
  ++sequence_;
  return out_;
}

std::optional<std::string_view> record_layer::open(std::string_view record) {
  if (record.size() < overhead) return std::nullopt;
  const std::size_t length = record.size() - header_bytes - tag_bytes;
  out_.resize(length);
  std::string tag(record.substr(header_bytes + length));
  EVP_CIPHER_CTX* const context = context_.get();
  int done = 0;
  const auto at = nonce();
  require(EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, at.data()) == 1 &&
          EVP_DecryptUpdate(context, nullptr, &done, bytes_of(record), header_bytes) == 1 &&
          EVP_DecryptUpdate(context, bytes_of(out_, 0), &done, bytes_of(record.substr(header_bytes)),
                            static_cast<int>(length)) == 1 &&
          EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag_bytes, bytes_of(tag, 0)) == 1);
  std::array<unsigned char, tag_bytes> rest{};
  if (EVP_DecryptFinal_ex(context, rest.data(), &done) != 1) return std::nullopt;
  ++sequence_;
  return std::string_view(out_).substr(0, length - 1);
}

}  // namespace pam::bench
