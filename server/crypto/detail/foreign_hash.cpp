#include "server/crypto/detail/foreign_hash.hpp"

#include <crypt.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <memory>
#include <string_view>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/openssl.hpp"
#include "server/crypto/password_hash.hpp"

namespace pam::crypto::detail {
namespace {

constexpr std::uint32_t max_bcrypt_cost = 14;
constexpr std::uint32_t max_crypt_rounds = 1'000'000;
constexpr std::uint32_t max_pbkdf2_rounds = 2'000'000;
constexpr std::uint64_t max_scrypt_work = std::uint64_t{1} << 22;  ///< N r p; OWASP's N = 2^17, r = 8 is 2^20
constexpr std::size_t bcrypt_password_bytes = 72;  ///< bcrypt reads no further, whoever computes it
constexpr std::size_t min_tag_bytes = 16;          ///< a shorter one would match by chance
constexpr std::size_t max_tag_bytes = 128;

error bad_hash(std::string_view why) {
  return {errc::bad_hash, std::string{why}};
}

/// Consumes a decimal number without leading zeros and the text after it.
bool take_number(std::string_view& rest, std::string_view after, std::uint32_t& out) {
  const auto [stop, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  const bool is_plain = failure == std::errc{} && (rest.front() != '0' || stop == rest.data() + 1);
  if (!is_plain) return false;
  rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
  if (!rest.starts_with(after)) return false;
  rest.remove_prefix(after.size());
  return true;
}

bool take(std::string_view& rest, std::string_view expected) {
  if (!rest.starts_with(expected)) return false;
  rest.remove_prefix(expected.size());
  return true;
}

/// Consumes everything up to `end`, and `end`.
std::optional<std::string_view> take_until(std::string_view& rest, char end) {
  const std::size_t at = rest.find(end);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return part;
}

/// Standard base64, padded or not; passlib's variant writes '.' for '+'.
std::optional<std::string> from_any_base64(std::string_view text) {
  if (text.ends_with('=')) {
    if (text.size() % 4 != 0) return std::nullopt;
    text.remove_suffix(text.ends_with("==") ? 2 : 1);
  }
  std::string plain{text};
  std::ranges::replace(plain, '.', '+');
  return from_base64(plain);
}

bool is_tag(const std::optional<std::string>& tag) {
  return tag && tag->size() >= min_tag_bytes && tag->size() <= max_tag_bytes;
}

bool equals(std::string_view computed, std::string_view stored) {
  return equal(std::as_bytes(std::span{computed}), std::as_bytes(std::span{stored}));
}

// ---- crypt(3): libxcrypt

/// crypt_r() of a password, which must be a C string of at most CRYPT_MAX_PASSPHRASE_SIZE - 1 bytes. What
/// does not fit cannot have been hashed by anyone's crypt(): it costs the same and does not match.
result<bool> verify_crypt(const secret& password, const std::string& stored, std::size_t longest) {
  const std::string_view text = password.view().substr(0, std::min(password.size(), longest));
  const bool fits = text.find('\0') == std::string_view::npos && text.size() < CRYPT_MAX_PASSPHRASE_SIZE;
  const secret phrase{std::string{text.substr(0, CRYPT_MAX_PASSPHRASE_SIZE - 1)} + '\0'};
  const auto state = std::make_unique<crypt_data>();
  const char* const computed = crypt_r(phrase.view().data(), stored.c_str(), state.get());
  result<bool> outcome = bad_hash("crypt(3) does not accept the hash");
  // On failure crypt() returns NULL or a text that starts with '*' and is no hash (crypt(3)).
  if (computed != nullptr && *computed != '*') outcome = fits && equals(computed, stored);
  wipe(state.get(), sizeof *state);
  return outcome;
}

result<bool> verify_bcrypt(const secret& password, const std::string& stored, const hash_cost&) {
  constexpr std::size_t length = 60;
  const auto digit = [&stored](std::size_t at) { return static_cast<std::uint32_t>(stored[at] - '0'); };
  if (stored.size() != length || digit(4) > 9 || digit(5) > 9 || stored[6] != '$')
    return bad_hash("malformed bcrypt hash");
  if (digit(4) * 10 + digit(5) > max_bcrypt_cost) return bad_hash("bcrypt cost above the accepted bound");
  return verify_crypt(password, stored, bcrypt_password_bytes);
}

result<bool> verify_sha_crypt(const secret& password, const std::string& stored, const hash_cost&) {
  std::string_view rest = std::string_view{stored}.substr(3);
  std::uint32_t rounds = 0;
  if (take(rest, "rounds=")) {
    if (!take_number(rest, "$", rounds)) return bad_hash("malformed sha-crypt hash");
    if (rounds > max_crypt_rounds) return bad_hash("sha-crypt rounds above the accepted bound");
  }
  return verify_crypt(password, stored, password.size());
}

// ---- PBKDF2: OpenSSL

result<bool> verify_pbkdf2(const secret& password, const EVP_MD* digest, std::uint32_t rounds,
                           std::string_view salt, const std::optional<std::string>& tag) {
  if (!is_tag(tag) || salt.empty() || salt.size() > max_tag_bytes || rounds == 0)
    return bad_hash("malformed pbkdf2 hash");
  if (rounds > max_pbkdf2_rounds) return bad_hash("pbkdf2 rounds above the accepted bound");
  std::array<unsigned char, max_tag_bytes> computed = {};
  const int done =
      PKCS5_PBKDF2_HMAC(password.view().data(), static_cast<int>(password.size()),
                        reinterpret_cast<const unsigned char*>(salt.data()), static_cast<int>(salt.size()),
                        static_cast<int>(rounds), digest, static_cast<int>(tag->size()), computed.data());
  if (done != 1) return openssl_failure("PBKDF2");
  const bool matches = equals({reinterpret_cast<const char*>(computed.data()), tag->size()}, *tag);
  wipe(computed.data(), computed.size());
  return matches;
}

/// rounds$salt$hash, salt and hash in passlib's base64.
template <const EVP_MD* (*Digest)()>
result<bool> verify_passlib_pbkdf2(const secret& password, const std::string& stored, const hash_cost&) {
  std::string_view rest = std::string_view{stored}.substr(1);
  if (!take_until(rest, '$')) return bad_hash("malformed pbkdf2 hash");
  std::uint32_t rounds = 0;
  if (!take_number(rest, "$", rounds)) return bad_hash("malformed pbkdf2 hash");
  const auto salt_text = take_until(rest, '$');
  const auto salt = from_any_base64(salt_text.value_or(""));
  if (!salt_text || !salt) return bad_hash("malformed pbkdf2 hash");
  return verify_pbkdf2(password, Digest(), rounds, *salt, from_any_base64(rest));
}

/// Likewise, but the salt is its own text.
template <const EVP_MD* (*Digest)()>
result<bool> verify_django_pbkdf2(const secret& password, const std::string& stored, const hash_cost&) {
  std::string_view rest = stored;
  if (!take_until(rest, '$')) return bad_hash("malformed pbkdf2 hash");
  std::uint32_t rounds = 0;
  if (!take_number(rest, "$", rounds)) return bad_hash("malformed pbkdf2 hash");
  const auto salt = take_until(rest, '$');
  if (!salt) return bad_hash("malformed pbkdf2 hash");
  return verify_pbkdf2(password, Digest(), rounds, *salt, from_any_base64(rest));
}

// ---- scrypt: OpenSSL

struct scrypt_cost {
  std::uint32_t log_n = 0;
  std::uint32_t r = 0;
  std::uint32_t p = 0;
};

result<void> check_scrypt_cost(const scrypt_cost& asked, const hash_cost& cost) {
  if (asked.log_n < 1 || asked.r < 1 || asked.p < 1) return bad_hash("malformed scrypt hash");
  constexpr std::uint32_t most = 64;
  if (asked.log_n > 24 || asked.r > most || asked.p > most)
    return bad_hash("scrypt costs above the accepted bound");
  const std::uint64_t work = (std::uint64_t{1} << asked.log_n) * asked.r;
  const std::uint64_t memory_kib = work / 8;  // 128 N r bytes
  const std::uint64_t bound =
      std::uint64_t{max_cost_factor} * std::max(cost.memory_kib, hash_cost{}.memory_kib);
  if (work * asked.p > max_scrypt_work || memory_kib > bound)
    return bad_hash("scrypt costs above the accepted bound");
  return {};
}

result<void> compute_scrypt(const secret& password, std::string_view salt, const scrypt_cost& asked,
                            std::span<unsigned char> out) {
  constexpr std::uint64_t no_limit_of_its_own = std::uint64_t{1} << 40;  // ours was checked
  const int done = EVP_PBE_scrypt(password.view().data(), password.size(),
                                  reinterpret_cast<const unsigned char*>(salt.data()), salt.size(),
                                  std::uint64_t{1} << asked.log_n, asked.r, asked.p, no_limit_of_its_own,
                                  out.data(), out.size());
  if (done != 1) return openssl_failure("scrypt");
  return {};
}

result<bool> verify_scrypt(const secret& password, const std::string& stored, const hash_cost& cost) {
  std::string_view rest = std::string_view{stored}.substr(std::string_view{"$scrypt$"}.size());
  scrypt_cost asked;
  if (!take(rest, "ln=") || !take_number(rest, ",r=", asked.log_n) || !take_number(rest, ",p=", asked.r) ||
      !take_number(rest, "$", asked.p)) {
    return bad_hash("malformed scrypt hash");
  }
  const auto salt_text = take_until(rest, '$');
  const auto salt = from_any_base64(salt_text.value_or(""));
  const auto tag = from_any_base64(rest);
  if (!salt_text || !salt || !is_tag(tag)) return bad_hash("malformed scrypt hash");
  if (const auto fits = check_scrypt_cost(asked, cost); fits.has_error()) return fits.error();
  std::array<unsigned char, max_tag_bytes> computed = {};
  const auto done = compute_scrypt(password, *salt, asked, std::span{computed}.first(tag->size()));
  if (done.has_error()) return done.error();
  const bool matches = equals({reinterpret_cast<const char*>(computed.data()), tag->size()}, *tag);
  wipe(computed.data(), computed.size());
  return matches;
}

struct firebase_hash {
  scrypt_cost cost;
  std::string salt;  ///< with the separator that follows it
  std::string signer_key;
  std::string tag;
};

std::optional<firebase_hash> read_firebase(std::string_view rest) {
  firebase_hash found;
  if (!take(rest, "$fbscrypt$v=1,n=") || !take_number(rest, ",r=", found.cost.log_n) ||
      !take_number(rest, ",p=", found.cost.r) || !take_number(rest, ",ss=", found.cost.p)) {
    return std::nullopt;
  }
  const auto separator = take_until(rest, ',');
  if (!separator || !take(rest, "sk=")) return std::nullopt;
  const auto key = take_until(rest, '$');
  const auto salt = take_until(rest, '$');
  if (!key || !salt) return std::nullopt;
  const auto salt_bytes = from_any_base64(*salt);
  const auto separator_bytes = from_any_base64(*separator);
  const auto key_bytes = from_any_base64(*key);
  const auto tag = from_any_base64(rest);
  if (!salt_bytes || !separator_bytes || !key_bytes || !is_tag(tag) || tag->size() != key_bytes->size())
    return std::nullopt;
  found.salt = *salt_bytes + *separator_bytes;
  found.signer_key = *key_bytes;
  found.tag = *tag;
  return found;
}

struct cipher_deleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};

/// The installation's signer key, encrypted with AES-256-CTR under 32 bytes of scrypt, is the hash
/// (github.com/firebase/scrypt).
result<bool> verify_firebase(const secret& password, const std::string& stored, const hash_cost& cost) {
  const auto found = read_firebase(stored);
  if (!found) return bad_hash("malformed fbscrypt hash");
  if (const auto fits = check_scrypt_cost(found->cost, cost); fits.has_error()) return fits.error();
  std::array<unsigned char, 32> key = {};
  const auto done = compute_scrypt(password, found->salt, found->cost, key);
  if (done.has_error()) return done.error();
  std::array<unsigned char, max_tag_bytes> computed = {};
  constexpr std::array<unsigned char, 16> counter = {};
  int length = 0;
  const std::unique_ptr<EVP_CIPHER_CTX, cipher_deleter> context{EVP_CIPHER_CTX_new()};
  const bool is_done =
      context &&
      EVP_EncryptInit_ex(context.get(), EVP_aes_256_ctr(), nullptr, key.data(), counter.data()) == 1 &&
      EVP_EncryptUpdate(context.get(), computed.data(), &length,
                        reinterpret_cast<const unsigned char*>(found->signer_key.data()),
                        static_cast<int>(found->signer_key.size())) == 1;
  wipe(key.data(), key.size());
  if (!is_done) return openssl_failure("AES-256-CTR");
  const bool matches =
      equals({reinterpret_cast<const char*>(computed.data()), found->tag.size()}, found->tag);
  wipe(computed.data(), computed.size());
  return matches;
}

struct foreign_scheme {
  std::string_view prefix;
  result<bool> (*verify)(const secret& password, const std::string& stored, const hash_cost& cost);
};

constexpr std::array schemes{
    foreign_scheme{"$2a$", verify_bcrypt},
    foreign_scheme{"$2b$", verify_bcrypt},
    foreign_scheme{"$2y$", verify_bcrypt},
    foreign_scheme{"$5$", verify_sha_crypt},
    foreign_scheme{"$6$", verify_sha_crypt},
    foreign_scheme{"$scrypt$", verify_scrypt},
    foreign_scheme{"$fbscrypt$", verify_firebase},
    foreign_scheme{"$pbkdf2$", verify_passlib_pbkdf2<EVP_sha1>},
    foreign_scheme{"$pbkdf2-sha256$", verify_passlib_pbkdf2<EVP_sha256>},
    foreign_scheme{"$pbkdf2-sha512$", verify_passlib_pbkdf2<EVP_sha512>},
    foreign_scheme{"pbkdf2_sha1$", verify_django_pbkdf2<EVP_sha1>},
    foreign_scheme{"pbkdf2_sha256$", verify_django_pbkdf2<EVP_sha256>},
};

}  // namespace

std::optional<result<bool>> verify_foreign(const secret& password, const std::string& stored,
                                           const hash_cost& cost) {
  const auto found = std::ranges::find_if(
      schemes, [&stored](const foreign_scheme& each) { return stored.starts_with(each.prefix); });
  if (found == schemes.end()) return std::nullopt;
  auto outcome = found->verify(password, stored, cost);
  // HMAC pads a short key with zeros, crypt(3) ends at one: to them "a" and "a\0" are one password.
  const bool has_nul = password.view().find('\0') != std::string_view::npos;
  if (outcome.has_value() && has_nul) outcome = false;
  return outcome;
}

}  // namespace pam::crypto::detail
