// Each rule of RFC 8725 (JSON Web Token Best Current Practices) as a forged token.
#include <gmock/gmock.h>
#include <openssl/bio.h>
#include <openssl/pem.h>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/detail/signature.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/tests/support.hpp"

namespace pam::crypto {
namespace {

using detail::jwk_use;
using detail::to_base64url;
using std::chrono::seconds;
using test::expectation;
using test::forge;
using test::good_claims;
using ::testing::HasSubstr;

constexpr std::string_view good_header = R"({"alg":"ES256","kid":"u","typ":"JWT"})";

class jwt_attack : public ::testing::Test {
 protected:
  /// A token signed with our own user key, whatever its header and claims say.
  std::string signed_with_our_key(std::string_view header, std::string_view claims) {
    const std::string message = to_base64url(header) + "." + to_base64url(claims);
    return message + "." + to_base64url(*detail::sign(our_key_, message));
  }
  error refusal_of(std::string_view jwt, const jwt_expectation& expected = expectation()) {
    const auto verified = ring_.verify(jwt, expected);
    EXPECT_TRUE(verified.has_error()) << jwt;
    return verified.has_error() ? verified.error() : error{errc::failure, "accepted"};
  }
  /// The private detail of a bad_token refusal.
  std::string rule_against(std::string_view jwt, const jwt_expectation& expected = expectation()) {
    const error refusal = refusal_of(jwt, expected);
    EXPECT_EQ(refusal.code, errc::bad_token) << refusal.detail;
    return refusal.detail;
  }
  std::string rule_against_header(std::string_view header) {
    return rule_against(signed_with_our_key(header, good_claims()));
  }
  std::string rule_against_claims(std::string_view claims) {
    return rule_against(signed_with_our_key(good_header, claims));
  }
  bool accepts_claims(std::string_view claims, const jwt_expectation& expected = expectation()) {
    return ring_.verify(signed_with_our_key(good_header, claims), expected).has_value();
  }

  static detail::signing_material material_of(std::string_view members) {
    constexpr std::array only_user{jwk_use::user};
    auto keys = detail::parse_jwk_set(test::key_set({test::key(members, "user", "current", R"("kid":"a")")}),
                                      only_user);
    return std::move(keys->front().material);
  }
  key_ring ring_ = test::standard_ring();
  detail::signing_material our_key_ = material_of(test::ec_members);
};

TEST_F(jwt_attack, the_token_the_others_are_forged_from_is_good) {
  EXPECT_TRUE(ring_.verify(signed_with_our_key(good_header, good_claims()), expectation()).has_value());
}

TEST_F(jwt_attack, none_is_refused_in_every_spelling) {
  for (const char* alg : {"none", "None", "NONE", "nOnE", ""}) {
    const std::string header = R"({"alg":")" + std::string{alg} + R"(","kid":"u","typ":"JWT"})";
    EXPECT_THAT(rule_against(forge(header, good_claims(), "")), HasSubstr("alg is not the key's"));
    EXPECT_THAT(rule_against_header(header), HasSubstr("alg is not the key's"));
  }
}

TEST_F(jwt_attack, an_empty_signature_is_refused) {
  EXPECT_THAT(rule_against(forge(good_header, good_claims(), "")), HasSubstr("signature"));
}

TEST_F(jwt_attack, hs256_under_our_public_key_is_refused) {
  // The key confusion of RFC 8725 section 2.1: the attacker knows the public key in every form.
  const std::string header = R"({"alg":"HS256","kid":"u","typ":"JWT"})";
  const std::string message = to_base64url(header) + "." + to_base64url(good_claims());
  BIO* const memory = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(memory, our_key_.key.get());
  char* pem = nullptr;
  const auto pem_size = static_cast<std::size_t>(BIO_get_mem_data(memory, &pem));
  for (const std::string& known : {std::string{pem, pem_size}, ring_.public_jwks()}) {
    detail::signing_material confusion;
    confusion.alg = algorithm::hs256;
    confusion.hmac_key = secret{std::string_view{known}};
    EXPECT_THAT(rule_against(message + "." + to_base64url(*detail::sign(confusion, message))),
                HasSubstr("alg is not the key's"));
  }
  BIO_free(memory);
}

TEST_F(jwt_attack, another_algorithm_of_the_same_family_is_refused) {
  for (const char* alg : {"ES384", "ES512", "RS256", "PS256", "EdDSA", "es256"}) {
    EXPECT_THAT(rule_against_header(R"({"alg":")" + std::string{alg} + R"(","kid":"u","typ":"JWT"})"),
                HasSubstr("alg is not the key's"));
  }
}

TEST_F(jwt_attack, a_key_we_do_not_hold_is_unknown) {
  EXPECT_EQ(refusal_of(signed_with_our_key(R"({"alg":"ES256","kid":"x","typ":"JWT"})", good_claims())).code,
            errc::unknown_key);
}

TEST_F(jwt_attack, the_kid_of_another_key_of_ours_is_refused) {
  // A user's token that names the machine key, hoping to become a machine's.
  EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":"m","typ":"JWT"})"), HasSubstr("signature"));
}

TEST_F(jwt_attack, a_refresh_keys_id_is_no_kid) {
  EXPECT_EQ(refusal_of(signed_with_our_key(R"({"alg":"HS256","kid":"7","typ":"JWT"})", good_claims())).code,
            errc::unknown_key);
}

TEST_F(jwt_attack, a_missing_kid_alg_or_typ_is_refused) {
  EXPECT_THAT(rule_against_header(R"({"alg":"ES256","typ":"JWT"})"), HasSubstr("kid"));
  EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":"","typ":"JWT"})"), HasSubstr("kid"));
  EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":7,"typ":"JWT"})"), HasSubstr("kid"));
  EXPECT_THAT(rule_against_header(R"({"kid":"u","typ":"JWT"})"), HasSubstr("alg"));
  EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":"u"})"), HasSubstr("typ"));
}

TEST_F(jwt_attack, another_type_of_token_is_refused) {
  for (const char* typ : {"at+jwt", "JWE", "logout+jwt", "", "jwt"}) {
    EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":"u","typ":")" + std::string{typ} + "\"}"),
                HasSubstr("typ is not JWT"));
  }
}

TEST_F(jwt_attack, headers_that_bring_their_own_key_or_rules_are_refused) {
  for (const char* extra : {R"("jku":"https://evil.example/keys")", R"("x5u":"https://evil.example/cert")",
                            R"("x5c":["AAAA"])", R"("jwk":{"kty":"oct","k":"AA"})", R"("crit":["exp"])",
                            R"("crit":[])", R"("b64":false)", R"("zip":"DEF")", R"("jku":null)"}) {
    EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":"u","typ":"JWT",)" + std::string{extra} + "}"),
                HasSubstr("the header has"))
        << extra;
  }
}

TEST_F(jwt_attack, an_unknown_header_member_is_ignored) {
  // RFC 7515 section 4: what is not understood and not critical must be ignored.
  EXPECT_TRUE(
      ring_
          .verify(signed_with_our_key(R"({"alg":"ES256","kid":"u","typ":"JWT","x":1})", good_claims()),
                  expectation())
          .has_value());
}

TEST_F(jwt_attack, a_member_that_stands_twice_is_refused) {
  EXPECT_THAT(rule_against_header(R"({"alg":"none","alg":"ES256","kid":"u","typ":"JWT"})"),
              HasSubstr("header"));
  EXPECT_THAT(rule_against_header(R"({"alg":"ES256","kid":"u","typ":"JWT","a\u006cg":"none"})"),
              HasSubstr("header"));
  const std::string doubled = test::replaced(good_claims(), "{", R"({"sub":"someone else",)");
  EXPECT_THAT(rule_against_claims(doubled), HasSubstr("claims"));
  const std::string nested = test::claims_with("app_metadata", R"({"role":"a","role":"b"})");
  EXPECT_THAT(rule_against_claims(nested), HasSubstr("claims"));
  const std::string in_array = test::claims_with("list", R"([{"role":"a","role":"b"}])");
  EXPECT_THAT(rule_against_claims(in_array), HasSubstr("claims"));
}

TEST_F(jwt_attack, text_that_is_no_json_object_is_refused) {
  for (const char* text : {"", "null", "[]", "\"x\"", "{", "{}{}", "{'alg':'ES256'}", "\xff\xfe"}) {
    EXPECT_THAT(rule_against_header(text), HasSubstr("header")) << text;
    EXPECT_THAT(rule_against_claims(text), HasSubstr("claims")) << text;
  }
  EXPECT_THAT(rule_against_claims(test::claims_with("a", std::string(100, '[') + std::string(100, ']'))),
              HasSubstr("claims"));
}

TEST_F(jwt_attack, any_changed_character_is_noticed) {
  const std::string good = signed_with_our_key(good_header, good_claims());
  for (std::size_t i = 0; i < good.size(); ++i) {
    std::string changed = good;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_TRUE(ring_.verify(changed, expectation()).has_error()) << i;
  }
}

TEST_F(jwt_attack, any_flipped_bit_of_the_text_is_noticed) {
  std::string jwt = signed_with_our_key(good_header, good_claims());
  for (std::size_t bit = 0; bit < jwt.size() * 8; ++bit) {
    const auto mask = static_cast<char>(1 << (bit % 8));
    jwt[bit / 8] = static_cast<char>(jwt[bit / 8] ^ mask);
    EXPECT_TRUE(ring_.verify(jwt, expectation()).has_error()) << bit;
    jwt[bit / 8] = static_cast<char>(jwt[bit / 8] ^ mask);
  }
}

TEST_F(jwt_attack, parts_of_two_good_tokens_do_not_make_a_third) {
  const std::string mine = signed_with_our_key(good_header, test::claims_with("sub", "\"me\""));
  const std::string yours = signed_with_our_key(good_header, test::claims_with("sub", "\"you\""));
  EXPECT_THAT(rule_against(yours.substr(0, yours.rfind('.')) + mine.substr(mine.rfind('.'))),
              HasSubstr("signature"));
}

TEST_F(jwt_attack, anything_but_three_parts_is_refused) {
  const std::string good = signed_with_our_key(good_header, good_claims());
  const std::string two = good.substr(0, good.rfind('.'));
  for (const std::string& bad : {std::string{}, std::string{"."}, std::string{"a"}, two, good + ".",
                                 "." + good, good + ".AAAA", std::string{"...."}}) {
    EXPECT_THAT(rule_against(bad), HasSubstr("three parts")) << bad;
  }
  EXPECT_THAT(rule_against(".."), HasSubstr("header"));
}

TEST_F(jwt_attack, more_than_8_kb_is_refused_before_anything_is_read) {
  EXPECT_THAT(rule_against(std::string(max_jwt_bytes + 1, 'A')), HasSubstr("8 KB"));
  EXPECT_THAT(rule_against(std::string(1'000'000, '.')), HasSubstr("8 KB"));
}

TEST_F(jwt_attack, a_huge_header_is_refused) {
  const std::string header = R"({"alg":"ES256","kid":"u","typ":"JWT","x":")" + std::string(600, 'x') + "\"}";
  EXPECT_THAT(rule_against_header(header), HasSubstr("header is too long"));
}

TEST_F(jwt_attack, white_space_padding_and_other_alphabets_are_refused) {
  const std::string good = signed_with_our_key(good_header, good_claims());
  for (const std::string& bad :
       {" " + good, good + " ", good + "\n", good + "=", test::replaced(good, ".", "=."),
        test::replaced(good, ".", "\n."), test::replaced(good, ".", " . "), good + std::string(1, '\0')}) {
    EXPECT_THAT(rule_against(bad), ::testing::AnyOf(HasSubstr("header"), HasSubstr("signature")));
  }
}

TEST_F(jwt_attack, a_second_text_of_the_same_signature_is_refused) {
  // 64 octets leave four unused bits in the last character: only zero bits are canonical.
  std::string jwt = signed_with_our_key(good_header, good_claims());
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const std::size_t last = alphabet.find(jwt.back());
  ASSERT_EQ(last % 16, 0U);
  for (std::size_t unused = 1; unused < 16; ++unused) {
    jwt.back() = alphabet[last + unused];
    EXPECT_THAT(rule_against(jwt), HasSubstr("signature"));
  }
}

TEST_F(jwt_attack, a_payload_that_is_not_canonical_base64url_is_refused_even_when_signed) {
  for (const char* payload : {"e30=", "e31", "e 30", "e"}) {
    const std::string message = to_base64url(good_header) + "." + payload;
    EXPECT_THAT(rule_against(message + "." + to_base64url(*detail::sign(our_key_, message))),
                HasSubstr("payload"));
  }
}

TEST_F(jwt_attack, a_signature_of_63_or_65_octets_is_refused) {
  const std::string message = to_base64url(good_header) + "." + to_base64url(good_claims());
  const std::string signature = *detail::sign(our_key_, message);
  EXPECT_THAT(rule_against(message + "." + to_base64url(signature.substr(0, 63))), HasSubstr("signature"));
  EXPECT_THAT(rule_against(message + "." + to_base64url(signature + "x")), HasSubstr("signature"));
}

TEST_F(jwt_attack, the_signature_is_judged_before_the_claims) {
  // A forged and expired token is told nothing about its claims.
  const std::string old = test::claims_with("exp", "1");
  EXPECT_THAT(rule_against(forge(good_header, old, std::string(64, 'x'))), HasSubstr("signature"));
}

TEST_F(jwt_attack, a_token_is_over_at_the_second_of_its_exp) {
  const std::string jwt = signed_with_our_key(good_header, good_claims());
  EXPECT_TRUE(ring_.verify(jwt, expectation(seconds{899})).has_value());
  EXPECT_EQ(refusal_of(jwt, expectation(seconds{900})).code, errc::expired);
  EXPECT_EQ(refusal_of(jwt, expectation(seconds{901})).code, errc::expired);
}

TEST_F(jwt_attack, exp_is_required_and_a_number) {
  EXPECT_THAT(rule_against_claims(test::claims_with("exp", "")), HasSubstr("exp"));
  EXPECT_THAT(rule_against_claims(test::claims_with("exp", "\"9999999999\"")), HasSubstr("exp"));
  EXPECT_THAT(rule_against_claims(test::claims_with("exp", "null")), HasSubstr("exp"));
  EXPECT_EQ(refusal_of(signed_with_our_key(good_header, test::claims_with("exp", "-1"))).code, errc::expired);
  EXPECT_TRUE(accepts_claims(test::claims_with("exp", "1795344180.5")));
  EXPECT_TRUE(accepts_claims(test::claims_with("exp", "9e18")));
}

TEST_F(jwt_attack, nbf_and_iat_may_lie_ahead_by_the_leeway_and_no_more) {
  const auto at = [](int later) { return std::to_string(test::moment.time_since_epoch().count() + later); };
  for (const char* name : {"nbf", "iat"}) {
    EXPECT_TRUE(accepts_claims(test::claims_with(name, at(0)))) << name;
    EXPECT_TRUE(accepts_claims(test::claims_with(name, at(5)))) << name;
    EXPECT_THAT(rule_against_claims(test::claims_with(name, at(6))), HasSubstr(name));
    EXPECT_THAT(rule_against_claims(test::claims_with(name, "\"soon\"")), HasSubstr(name));
  }
  EXPECT_TRUE(accepts_claims(test::claims_with("iat", "")));
}

TEST_F(jwt_attack, another_issuer_is_refused) {
  for (const char* iss : {"", "\"https://auth.example/auth/v1/\"", "\"https://evil.example\"", "7", "null",
                          "[\"https://auth.example/auth/v1\"]"}) {
    EXPECT_THAT(rule_against_claims(test::claims_with("iss", iss)), HasSubstr("iss")) << iss;
  }
}

TEST_F(jwt_attack, another_audience_is_refused) {
  for (const char* aud : {"", "\"other\"", "\"\"", "7", "null", "[]", "[\"other\"]", "[7]", "{}",
                          "[\"authenticated\",7]", "[[\"authenticated\"]]"}) {
    EXPECT_THAT(rule_against_claims(test::claims_with("aud", aud)), HasSubstr("aud")) << aud;
  }
}

TEST_F(jwt_attack, an_audience_list_that_names_us_is_accepted) {
  EXPECT_TRUE(accepts_claims(test::claims_with("aud", R"(["other","authenticated"])")));
  EXPECT_TRUE(accepts_claims(test::claims_with("aud", R"(["authenticated"])")));
}

TEST_F(jwt_attack, only_who_says_so_takes_tokens_without_exp_and_aud_and_never_wrong_ones) {
  auto lenient = expectation();
  lenient.may_be_unbounded = true;

  EXPECT_TRUE(accepts_claims(test::claims_with("exp", ""), lenient));
  EXPECT_TRUE(accepts_claims(test::claims_with("aud", ""), lenient));
  EXPECT_FALSE(accepts_claims(test::claims_with("aud", R"("other")"), lenient));
  EXPECT_FALSE(accepts_claims(test::claims_with("exp", "1"), lenient));
  EXPECT_FALSE(accepts_claims(test::claims_with("exp", R"("never")"), lenient));
  EXPECT_FALSE(accepts_claims(test::claims_with("iss", ""), lenient));
}

/// A ring that also verifies tokens of an old GoTrue installation: HS256, and no kid.
class old_gotrue_token : public jwt_attack {
 protected:
  std::string signed_with_the_secret(std::string_view header, std::string_view claims = {}) {
    const std::string message =
        to_base64url(header) + "." + to_base64url(claims.empty() ? good_claims() : std::string{claims});
    return message + "." + to_base64url(*detail::sign(secret_, message));
  }
  static std::string set_with(std::string_view extra, std::string_view use = "user") {
    return test::key_set({test::key(test::ec_members, "user", "current", R"("kid":"u")"),
                          test::key(test::hmac_members, use, "previous", extra),
                          test::key(test::other_ec_members, "machine", "current", R"("kid":"m")"),
                          test::key(test::refresh_members, "refresh", "current", R"("kid":"7")")});
  }
  detail::signing_material secret_ = material_of(test::hmac_members);
  key_ring tolerant_ = test::ring_of(set_with(R"("kid":"gotrue","pam_accepts_no_kid":true)"));
  key_ring usual_ = test::ring_of(set_with(R"("kid":"gotrue")"));
};

TEST_F(old_gotrue_token, verifies_without_a_kid_where_the_file_says_so) {
  const std::string token = signed_with_the_secret(R"({"alg":"HS256","typ":"JWT"})");

  EXPECT_TRUE(tolerant_.verify(token, expectation()).has_value());
  EXPECT_FALSE(usual_.verify(token, expectation()).has_value());
  EXPECT_FALSE(ring_.verify(token, expectation()).has_value());
}

TEST_F(old_gotrue_token, is_a_users_and_never_a_machines) {
  const auto verified =
      tolerant_.verify(signed_with_the_secret(R"({"alg":"HS256","typ":"JWT"})"), expectation());

  ASSERT_TRUE(verified.has_value());
  EXPECT_EQ(verified->use, key_use::user);
  EXPECT_THAT(key_ring::parse(set_with(R"("kid":"x","pam_accepts_no_kid":true)", "machine")).error().detail,
              HasSubstr("pam_accepts_no_kid"));
}

TEST_F(old_gotrue_token, without_a_kid_may_have_no_other_algorithm) {
  const std::string claims = good_claims();

  for (const char* header : {R"({"alg":"ES256","typ":"JWT"})", R"({"alg":"none","typ":"JWT"})"}) {
    EXPECT_FALSE(tolerant_.verify(signed_with_our_key(header, claims), expectation()).has_value()) << header;
    EXPECT_FALSE(tolerant_.verify(signed_with_the_secret(header), expectation()).has_value()) << header;
    EXPECT_FALSE(tolerant_.verify(forge(header, claims, ""), expectation()).has_value()) << header;
  }
  EXPECT_FALSE(
      tolerant_.verify(signed_with_the_secret(R"({"alg":"HS256","kid":"u","typ":"JWT"})"), expectation())
          .has_value());
}

TEST_F(old_gotrue_token, of_another_issuer_or_audience_or_time_is_refused_without_a_kid_too) {
  constexpr std::string_view header = R"({"alg":"HS256","typ":"JWT"})";
  const auto rule_of = [&](std::string_view name, std::string_view value) {
    const auto verified =
        tolerant_.verify(signed_with_the_secret(header, test::claims_with(name, value)), expectation());
    EXPECT_TRUE(verified.has_error()) << name << " " << value;
    return verified.has_error() ? verified.error().detail : std::string{};
  };

  for (const char* iss : {"", "\"https://other.example/auth/v1\"", "\"https://auth.example/auth/v1/\"",
                          "\"\"", "null", "[\"https://auth.example/auth/v1\"]"}) {
    EXPECT_THAT(rule_of("iss", iss), HasSubstr("iss"));
  }
  for (const char* aud : {"", "\"other\"", "[]"}) EXPECT_THAT(rule_of("aud", aud), HasSubstr("aud"));
  EXPECT_THAT(rule_of("exp", "1"), HasSubstr("exp"));
  EXPECT_THAT(rule_of("exp", ""), HasSubstr("exp"));
  EXPECT_THAT(rule_of("nbf", "9999999999"), HasSubstr("nbf"));
}

TEST_F(old_gotrue_token, may_lack_its_kid_and_nothing_else_of_the_header) {
  for (const char* header :
       {R"({"alg":"HS256"})", R"({"typ":"JWT"})", R"({"alg":"HS256","typ":"at+jwt"})",
        R"({"alg":"HS256","typ":"JWT","kid":""})", R"({"alg":"HS256","typ":"JWT","kid":null})",
        R"({"alg":"HS256","typ":"JWT","kid":"other"})", R"({"alg":"HS256","typ":"JWT","crit":["exp"]})",
        R"({"alg":"HS256","typ":"JWT","jwk":{"kty":"oct","k":"AA"}})",
        R"({"alg":"HS256","typ":"JWT","jku":"https://evil.example"})", R"({"alg":"HS384","typ":"JWT"})"}) {
    EXPECT_TRUE(tolerant_.verify(signed_with_the_secret(header), expectation()).has_error()) << header;
  }
}

TEST_F(old_gotrue_token, under_another_secret_is_refused) {
  const std::string message =
      to_base64url(R"({"alg":"HS256","typ":"JWT"})") + "." + to_base64url(good_claims());
  for (const std::string& known : {std::string{}, ring_.public_jwks(), tolerant_.public_jwks()}) {
    detail::signing_material other;
    other.alg = algorithm::hs256;
    other.hmac_key = secret{std::string_view{known}};
    const auto signature = detail::sign(other, message);
    ASSERT_TRUE(signature.has_value());
    EXPECT_TRUE(tolerant_.verify(message + "." + to_base64url(*signature), expectation()).has_error());
  }
}

TEST_F(old_gotrue_token, an_asymmetric_key_never_accepts_tokens_without_a_kid) {
  EXPECT_THAT(key_ring::parse(test::standard_set(test::ec_members, R"("kid":"u","pam_accepts_no_kid":true)"))
                  .error()
                  .detail,
              HasSubstr("only an HS256 key"));
}

}  // namespace
}  // namespace pam::crypto
