#include "server/crypto/password_hash.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/foreign_hash.hpp"
#include "server/crypto/detail/hash_memory.hpp"
#include "server/crypto/detail/sodium.hpp"

namespace pam::crypto {

namespace {

/// One scheme of our own hashes; those of other systems are detail/foreign_hash.hpp's.
struct scheme {
  std::string_view prefix;
  bool is_current;  ///< what hash_password() makes: anything else wants a rehash
  result<verification> (*verify)(const scheme& self, const secret& password, const std::string& stored,
                                 const hash_cost& cost);
};

error bad_hash(std::string_view why) {
  return {errc::bad_hash, std::string{why}};
}

constexpr std::size_t salt_bytes = crypto_pwhash_SALTBYTES;
constexpr std::size_t max_field_bytes = 128;  ///< salt or tag; everybody uses 16 or 32

/// The fields of `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>`.
struct argon2_fields {
  std::uint32_t memory_kib = 0;
  std::uint32_t passes = 0;
  std::uint32_t lanes = 0;
  std::string salt;
  std::string tag;
};

/// Consumes `label` and a decimal number without leading zeros from the front of `rest`.
bool take_number(std::string_view& rest, std::string_view label, std::uint32_t& out) {
  if (!rest.starts_with(label)) return false;
  rest.remove_prefix(label.size());
  const auto [stop, failure] = std::from_chars(rest.data(), rest.data() + rest.size(), out);
  if (failure != std::errc{} || (rest.front() == '0' && stop != rest.data() + 1)) return false;
  rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
  return true;
}

std::optional<argon2_fields> read_argon2(std::string_view rest) {
  argon2_fields fields;
  std::uint32_t version = 0;
  if (!take_number(rest, "v=", version) || version != 19 || !take_number(rest, "$m=", fields.memory_kib) ||
      !take_number(rest, ",t=", fields.passes) || !take_number(rest, ",p=", fields.lanes) ||
      !rest.starts_with('$')) {
    return std::nullopt;
  }
  rest.remove_prefix(1);
  const auto middle = rest.find('$');
  if (middle == std::string_view::npos) return std::nullopt;
  auto salt = detail::from_base64(rest.substr(0, middle));
  auto tag = detail::from_base64(rest.substr(middle + 1));
  // Lower bounds of RFC 9106 section 3.1; a tag below 16 bytes would match by chance.
  if (!salt || salt->size() < 8 || !tag || tag->size() < 16 || salt->size() > max_field_bytes ||
      tag->size() > max_field_bytes || fields.passes == 0 || fields.lanes == 0 ||
      fields.memory_kib < 8 * std::uint64_t{fields.lanes}) {
    return std::nullopt;
  }
  fields.salt = std::move(*salt);
  fields.tag = std::move(*tag);
  return fields;
}

bool costs_too_much(const argon2_fields& fields, const hash_cost& cost) {
  return fields.memory_kib > std::uint64_t{max_cost_factor} * cost.memory_kib ||
         fields.passes > std::uint64_t{max_cost_factor} * cost.passes;
}

/// Recomputes the tag where libsodium's raw function can (its own hashes): only that one tells
/// "not enough memory" from "wrong password".
std::optional<result<bool>> recompute(int alg, const argon2_fields& fields, const secret& password) {
  const std::uint32_t min_passes = alg == crypto_pwhash_ALG_ARGON2I13 ? crypto_pwhash_argon2i_OPSLIMIT_MIN
                                                                      : crypto_pwhash_argon2id_OPSLIMIT_MIN;
  if (fields.lanes != 1 || fields.salt.size() != salt_bytes || fields.passes < min_passes)
    return std::nullopt;
  std::array<unsigned char, max_field_bytes> tag = {};
  const detail::hash_memory::use kept;
  const int outcome = crypto_pwhash(tag.data(), fields.tag.size(), password.view().data(), password.size(),
                                    reinterpret_cast<const unsigned char*>(fields.salt.data()), fields.passes,
                                    std::size_t{fields.memory_kib} * 1024, alg);
  if (outcome != 0) return error{errc::failure, "argon2: not enough memory"};
  const bool matches =
      equal(std::as_bytes(std::span{tag}.first(fields.tag.size())), std::as_bytes(std::span{fields.tag}));
  wipe(tag.data(), tag.size());
  return matches;
}

result<verification> verify_argon2(const scheme& self, const secret& password, const std::string& stored,
                                   const hash_cost& cost) {
  const auto fields = read_argon2(std::string_view{stored}.substr(self.prefix.size()));
  if (!fields) return bad_hash("malformed argon2 hash");
  if (costs_too_much(*fields, cost)) return bad_hash("argon2 costs above the accepted bound");
  const bool is_id = self.is_current;
  const auto recomputed =
      recompute(is_id ? crypto_pwhash_ALG_ARGON2ID13 : crypto_pwhash_ALG_ARGON2I13, *fields, password);
  if (recomputed && recomputed->has_error()) return recomputed->error();
  verification found;
  if (recomputed) {
    found.matches = **recomputed;
  } else {
    // Other salts and lane counts of imported hashes; libsodium computes the lanes one by one.
    const auto verify = is_id ? crypto_pwhash_argon2id_str_verify : crypto_pwhash_argon2i_str_verify;
    found.matches = verify(stored.c_str(), password.view().data(), password.size()) == 0;
  }
  found.needs_rehash = found.matches && (!self.is_current || fields->memory_kib < cost.memory_kib ||
                                         fields->passes < cost.passes);
  return found;
}

constexpr std::array schemes{
    scheme{.prefix = "$argon2id$", .is_current = true, .verify = verify_argon2},
    scheme{.prefix = "$argon2i$", .is_current = false, .verify = verify_argon2},
};

}  // namespace

result<std::string> hash_password(const secret& password, const hash_cost& cost) {
  detail::ensure_sodium();
  std::array<char, crypto_pwhash_argon2id_STRBYTES> text = {};
  const detail::hash_memory::use kept;
  if (crypto_pwhash_argon2id_str(text.data(), password.view().data(), password.size(), cost.passes,
                                 std::size_t{cost.memory_kib} * 1024) != 0) {
    return error{errc::failure, "argon2: not enough memory"};
  }
  return std::string{text.data()};
}

result<verification> verify_password(const secret& password, const std::string& stored,
                                     const hash_cost& cost) {
  detail::ensure_sodium();
  const auto found = std::ranges::find_if(
      schemes, [&stored](const scheme& each) { return stored.starts_with(each.prefix); });
  if (found == schemes.end()) {
    const auto foreign = detail::verify_foreign(password, stored, cost);
    if (!foreign) return bad_hash("unknown scheme");
    if (foreign->has_error()) return foreign->error();
    return verification{.matches = **foreign, .needs_rehash = **foreign};
  }
  return found->verify(*found, password, stored, cost);
}

}  // namespace pam::crypto
