#include "server/crypto/detail/jwk.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>

#include "server/crypto/detail/key_file.hpp"
#include "server/crypto/tests/support.hpp"

namespace pam::crypto {
namespace {

using detail::jwk_use;
using test::key;
using test::key_set;
using test::replaced;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::array user_only{jwk_use::user};

std::string refusal_of(const std::string& set) {
  const auto ring = key_ring::parse(set);
  EXPECT_TRUE(ring.has_error());
  if (!ring.has_error()) return "accepted";
  EXPECT_EQ(ring.error().code, errc::bad_key);
  return ring.error().detail;
}

/// The refusal of the standard set with one text of its first key replaced.
std::string refusal_with(std::string_view members, std::string_view what, std::string_view with) {
  return refusal_of(replaced(test::standard_set(members), what, with));
}

TEST(jwk, thumbprints_agree_with_rfc_7638_and_rfc_8037) {
  EXPECT_EQ(
      detail::thumbprint(
          R"("e":"AQAB","kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aP)"
          R"(FFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ)"
          R"(R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6We)"
          R"(Zu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw")"),
      "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
  const auto okp = detail::parse_jwk_set(key_set({key(test::okp_members, "user")}), user_only);
  EXPECT_EQ(okp->front().kid, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

TEST(jwk, a_kid_of_the_file_wins_over_the_thumbprint) {
  const auto keys = detail::parse_jwk_set(
      key_set({key(test::ec_members, "user", "current", R"("kid":"mine")")}), user_only);
  EXPECT_EQ(keys->front().kid, "mine");
}

TEST(jwk, text_that_is_no_strict_json_object_is_refused) {
  for (const char* text : {"", "{", "[]", "7", "{\"keys\":[]}x", "{\"keys\":[],\"keys\":[]}", "\xff"}) {
    EXPECT_THAT(refusal_of(text), HasSubstr("not a JSON object")) << text;
  }
  EXPECT_THAT(refusal_of("{}"), HasSubstr("keys: must be an array"));
  EXPECT_THAT(refusal_of("{\"keys\":[7]}"), HasSubstr("keys[0]: must be an object"));
}

TEST(jwk, a_member_that_stands_twice_in_a_key_is_refused) {
  EXPECT_THAT(refusal_with(test::ec_members, R"("kty":"EC")", R"("kty":"EC","kty":"EC")"),
              HasSubstr("a member twice"));
}

TEST(jwk, every_use_needs_exactly_one_current_key) {
  EXPECT_THAT(refusal_of("{\"keys\":[]}"), HasSubstr("0 keys are current for pam_use user"));
  EXPECT_THAT(refusal_of(key_set({key(test::ec_members, "user")})),
              HasSubstr("0 keys are current for pam_use machine"));
  EXPECT_THAT(refusal_of(key_set({key(test::ec_members, "user"), key(test::other_ec_members, "machine"),
                                  key(test::okp_members, "user"),
                                  key(test::refresh_members, "refresh", "current", R"("kid":"1")")})),
              HasSubstr("2 keys are current for pam_use user"));
}

TEST(jwk, unknown_uses_states_and_types_name_their_place) {
  EXPECT_THAT(refusal_with(test::ec_members, R"("pam_use":"user")", R"("pam_use":"admin")"),
              HasSubstr("keys[0].pam_use: must be one of user, machine, refresh"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("pam_use":"user")", R"("pam_use":"seal")"),
              HasSubstr("keys[0].pam_use"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("pam_state":"current")", R"("pam_state":"old")"),
              HasSubstr("keys[0].pam_state: must be next, current or previous"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("kty":"EC")", R"("kty":"DH")"), HasSubstr("keys[0].kty"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("kty":"EC")", R"("kty":7)"), HasSubstr("keys[0].kty"));
}

TEST(jwk, other_curves_are_refused) {
  EXPECT_THAT(refusal_with(test::ec_members, "P-256", "P-384"), HasSubstr("keys[0].crv: only P-256"));
  EXPECT_THAT(refusal_with(test::okp_members, "Ed25519", "X25519"), HasSubstr("keys[0].crv: only Ed25519"));
}

TEST(jwk, alg_and_use_must_fit_the_key) {
  EXPECT_THAT(refusal_with(test::ec_members, R"("kty":"EC")", R"("alg":"RS256","kty":"EC")"),
              HasSubstr("keys[0].alg: must be ES256"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("kty":"EC")", R"("use":"enc","kty":"EC")"),
              HasSubstr("keys[0].use: must be sig"));
}

TEST(jwk, members_must_be_canonical_base64url_of_the_right_length) {
  EXPECT_THAT(refusal_with(test::ec_members, R"("x":"f83O)", R"("x":"f83)"), HasSubstr("keys[0].x"));
  EXPECT_THAT(refusal_with(test::ec_members, R"(RVEU")", R"(RVEV")"),
              HasSubstr("keys[0].x: is not canonical"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("y":)", R"("z":)"), HasSubstr("keys[0].y: must be present"));
  EXPECT_THAT(refusal_with(test::okp_members, R"("d":"nWGxne_9)", R"("d":"nWGxne)"), HasSubstr("keys[0].d"));
}

TEST(jwk, a_point_off_the_curve_is_refused) {
  EXPECT_THAT(refusal_with(test::ec_members, R"("x":"f83O)", R"("x":"f84O)"), HasSubstr("keys[0]: "));
}

TEST(jwk, a_private_member_of_another_key_is_refused) {
  EXPECT_THAT(refusal_with(test::ec_members, "jpsQnnGQmL", "jpsQnnGQmM"), HasSubstr("do not belong"));
  EXPECT_THAT(refusal_with(test::okp_members, "nWGxne_9", "nWGxne_8"), HasSubstr("do not belong"));
  EXPECT_THAT(refusal_with(test::rsa_members, R"("d":"Eq5x)", R"("d":"Eq5y)"), HasSubstr("do not belong"));
}

TEST(jwk, a_signing_key_without_private_members_is_refused_unless_it_is_retired) {
  const std::string ec_public = replaced(std::string{test::ec_members}, ",\"d\":", ",\"was_d\":");
  EXPECT_THAT(refusal_of(test::standard_set(ec_public)), HasSubstr("keys[0].d: must be present"));

  const auto ring =
      key_ring::parse(key_set({key(test::okp_members, "user"), key(ec_public, "user", "previous"),
                               key(test::other_ec_members, "machine"),
                               key(test::refresh_members, "refresh", "current", R"("kid":"1")")}));

  EXPECT_TRUE(ring.has_value());
}

TEST(jwk, weak_and_odd_rsa_keys_are_refused) {
  EXPECT_THAT(refusal_with(test::rsa_members, R"("e":"AQAB")", R"("e":"Aw")"),
              HasSubstr("keys[0].e: must be AQAB"));
  const std::string small =
      R"("kty":"RSA","e":"AQAB","d":"AQ","p":"AQ","q":"AQ","dp":"AQ","dq":"AQ","qi":"AQ","n":")" +
      std::string(171, 'z') + "\"";
  EXPECT_THAT(refusal_of(test::standard_set(replaced(small, "zz\"", "zw\""))),
              HasSubstr("2048 to 4096 bits"));
  const std::string huge = replaced(small, std::string(160, 'z'), std::string(16'000, 'z'));
  EXPECT_THAT(refusal_of(test::standard_set(replaced(huge, "zz\"", "zw\""))), HasSubstr("2048 to 4096 bits"));
  EXPECT_THAT(refusal_with(test::rsa_members, R"("n":"ofgW)", R"("n":"AAAAofgW)"), HasSubstr("leading zero"));
  EXPECT_THAT(refusal_with(test::rsa_members, R"("qi":)", R"("iq":)"),
              HasSubstr("keys[0].qi: must be present"));
}

TEST(jwk, hs256_needs_32_octets_a_kid_and_is_never_for_machines) {
  EXPECT_THAT(refusal_of(test::standard_set(R"("kty":"oct","k":"c2hvcnQ")")),
              HasSubstr("keys[0].k: must be 32"));
  EXPECT_THAT(refusal_of(test::standard_set(test::hmac_members, R"("alg":"HS256")")),
              HasSubstr("keys[0].kid"));
  EXPECT_THAT(refusal_of(key_set({key(test::hmac_members, "machine", "current", R"("kid":"h")")})),
              HasSubstr("never makes machine tokens"));
}

TEST(jwk, refresh_keys_have_32_octets_and_a_small_decimal_kid) {
  for (const char* kid : {R"("kid":"16777216")", R"("kid":"-1")", R"("kid":"07")", R"("kid":"a")",
                          R"("kid":"1 ")", R"("kid":7)", R"("kid":"")", R"("alg":"HS256")"}) {
    EXPECT_THAT(refusal_of(replaced(test::standard_set(), R"("kid":"7")", kid)), HasSubstr("keys[2].kid"))
        << kid;
  }
  EXPECT_THAT(refusal_of(replaced(test::standard_set(), std::string{test::refresh_members},
                                  R"("kty":"oct","k":"c2hvcnQ")")),
              HasSubstr("keys[2].k: must be 32 octets"));
  EXPECT_THAT(
      refusal_of(replaced(test::standard_set(), std::string{test::refresh_members}, test::ec_members)),
      HasSubstr("keys[2].kty: must be oct"));
}

TEST(jwk, one_kid_for_two_keys_and_one_key_for_two_uses_are_refused) {
  EXPECT_THAT(refusal_of(replaced(test::standard_set(), R"("kid":"u")", R"("kid":"m")")),
              HasSubstr("the same kid"));
  EXPECT_THAT(
      refusal_of(replaced(test::standard_set(), std::string{test::other_ec_members}, test::ec_members)),
      HasSubstr("are the same key"));
  EXPECT_THAT(refusal_of(key_set({key(test::ec_members, "user"), key(test::other_ec_members, "machine"),
                                  key(test::refresh_members, "refresh", "current", R"("kid":"1")"),
                                  key(test::refresh_members, "refresh", "previous", R"("kid":"2")")})),
              HasSubstr("are the same key"));
}

TEST(jwk, one_secret_for_two_symmetric_keys_is_refused) {
  const std::string machine = key(test::other_ec_members, "machine");
  const std::string refresh = key(test::refresh_members, "refresh", "current", R"("kid":"1")");

  EXPECT_THAT(
      refusal_of(key_set({key(test::hmac_members, "user", "current", R"("kid":"a")"),
                          key(test::hmac_members, "user", "previous", R"("kid":"b")"), machine, refresh})),
      HasSubstr("are the same key"));
  EXPECT_THAT(
      refusal_of(key_set({key(test::refresh_members, "user", "current", R"("kid":"a")"), machine, refresh})),
      HasSubstr("are the same key"));
}

TEST(jwk, a_kid_is_short_plain_text) {
  EXPECT_THAT(refusal_with(test::ec_members, R"("kid":"u")", R"("kid":"a b")"), HasSubstr("keys[0].kid"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("kid":"u")", R"("kid":"a\"b")"), HasSubstr("keys[0].kid"));
  EXPECT_THAT(refusal_with(test::ec_members, R"("kid":"u")", "\"kid\":\"" + std::string(65, 'a') + "\""),
              HasSubstr("keys[0].kid"));
}

TEST(jwk, no_refusal_repeats_key_material) {
  const std::string private_part = "jpsQnnGQmM";
  EXPECT_THAT(refusal_with(test::ec_members, "jpsQnnGQmL", private_part), Not(HasSubstr(private_part)));
}

/// A file in a folder of its own.
class key_file : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "pam-keys-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    file_ = folder_ + "/keys.json";
  }
  void TearDown() override {
    ::unlink(file_.c_str());
    ::rmdir(folder_.c_str());
  }
  void write(std::string_view text, mode_t mode) {
    std::ofstream{file_} << text;
    ASSERT_EQ(::chmod(file_.c_str(), mode), 0);
  }
  std::string refusal() {
    const auto ring = key_ring::load(file_);
    return ring.has_error() && ring.error().code == errc::bad_key ? ring.error().detail : "accepted";
  }
  std::string folder_;
  std::string file_;
};

TEST_F(key_file, of_mode_0600_or_0400_is_read) {
  for (const mode_t mode : {0600U, 0400U}) {
    write(test::standard_set(), mode);
    EXPECT_TRUE(key_ring::load(file_).has_value());
    ::unlink(file_.c_str());
  }
}

TEST_F(key_file, that_others_may_touch_is_refused_with_the_cure) {
  for (const mode_t mode : {0644U, 0640U, 0620U, 0602U, 0666U, 0700U}) {
    write(test::standard_set(), mode);
    EXPECT_THAT(refusal(), AllOf(HasSubstr(file_), HasSubstr("chmod 600"))) << std::oct << mode;
  }
}

TEST_F(key_file, that_does_not_exist_is_named) {
  EXPECT_THAT(refusal(), AllOf(HasSubstr(file_), HasSubstr("No such file")));
}

TEST_F(key_file, that_is_a_folder_or_a_pipe_is_refused_at_once) {
  EXPECT_THAT(key_ring::load(folder_).error().detail, HasSubstr("not a regular file"));
  ASSERT_EQ(::mkfifo(file_.c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("not a regular file"));
}

TEST_F(key_file, that_is_huge_is_refused) {
  write(std::string(256 * 1024 + 1, ' '), 0600);
  EXPECT_THAT(refusal(), HasSubstr("larger than 256 KB"));
}

TEST_F(key_file, with_a_bad_member_is_named_with_the_member) {
  write(replaced(test::standard_set(), "P-256", "P-521"), 0600);
  EXPECT_THAT(refusal(), AllOf(HasSubstr(file_), HasSubstr("keys[0].crv")));
}

TEST_F(key_file, that_is_empty_is_refused) {
  write("", 0600);
  EXPECT_THAT(refusal(), HasSubstr("not a JSON object"));
}

}  // namespace
}  // namespace pam::crypto
