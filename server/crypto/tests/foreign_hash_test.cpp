// Hashes other systems made, from sources that share no code with ours: Python's hashlib, `openssl passwd`,
// the test vectors of crypt_blowfish and of github.com/firebase/scrypt, RFC 7914.
#include <gtest/gtest.h>

#include "server/crypto/password_hash.hpp"

namespace pam::crypto {
namespace {

struct known_answer {
  const char* name;
  std::string_view password;
  const char* stored;
};

constexpr known_answer answers[] = {
    // crypt_blowfish 1.3, wrapper.c
    {"bcrypt_2a", "U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
    {"bcrypt_2a_more", "U*U*U", "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"},
    {"bcrypt_2y_high_bytes", "\xff\xff\xa3", "$2y$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"},
    {"bcrypt_2b_same_as_2y", "\xff\xff\xa3", "$2b$05$/OK.fbVrR/bpIqNJ5ianF.CE5elHaaO4EbggVDjb8P19RukzXSM3e"},
    // openssl passwd -6 / -5
    {"sha512_crypt", "correct horse",
     "$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/"},
    {"sha512_crypt_with_rounds", "correct horse",
     "$6$rounds=1000$importsalt$m01h5iMxQxddFl34zgUj46z7dFjIV/5cXiNqQyBwZPrI2uR00zRUyIN0A0X0g."
     "39aSLaHW6HNkJfkw2p4Rkoz0"},
    {"sha256_crypt", "correct horse", "$5$saltstring$vc6YOOogU4kWVvwga8e9zTFgKcy4tb5LaPxIiPJzqEC"},
    // hashlib.scrypt; the second is RFC 7914's second vector
    {"scrypt", "correct horse",
     "$scrypt$ln=10,r=8,p=1$TmFDbE5hQ2xOYUNs$7WmhhDiKTG1dbJVbMWWkPdZ15RNLcCxJEqcsfhBUZmE"},
    {"scrypt_of_the_rfc", "password",
     "$scrypt$ln=10,r=8,p=16$TmFDbA$/bq+HJ00cgB4VucZDQHp/nxq18vII3gw53N2Y0s3MWIurzDZLiKjiG/"
     "xCSedmDDaxyevuUqD7m2DYMvfoswGQA"},
    // hashlib.pbkdf2_hmac
    {"pbkdf2_sha1", "correct horse", "$pbkdf2$4096$./..c2FsdC1vZi1pbXBvcnQ$20yA.AQTWL.px6CaleMQkoaqMvA"},
    {"pbkdf2_sha256", "correct horse",
     "$pbkdf2-sha256$4096$./..c2FsdC1vZi1pbXBvcnQ$yXM2wSAWJ2A..frRPIngNS63I//uRRKLjP6wGt1R26s"},
    {"pbkdf2_sha512", "correct horse",
     "$pbkdf2-sha512$4096$./..c2FsdC1vZi1pbXBvcnQ$ytT4ryZjA1qzD.ODAvr/"
     "TmuG0HMDaKMuwuxYEy1DbdTxnhsuEWMh6pXiGavNvL.VhzFYdwpVOnQDzxyfZV6F6g"},
    {"django_sha1", "correct horse", "pbkdf2_sha1$4096$seasalt$VKt9CCjveLx3DPrUISb1J4lOC/8="},
    {"django_sha256", "correct horse",
     "pbkdf2_sha256$4096$seasalt$zHd5RYFxjPPHtcyvFSF8qXKeIldCmyz1cMw32MducLw="},
    // firebase/scrypt, README.md
    {"firebase", "user1password",
     "$fbscrypt$v=1,n=14,r=8,p=1,ss=Bw==,sk="
     "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsE"
     "mYUSDzZvpjeJ9WmXA==$42xEC+ixf3L2lw==$lSrfV15cpx95/sZS2W9c9Kp6i/"
     "LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="},
};

result<verification> check(std::string_view password, const std::string& stored) {
  return verify_password(secret{password}, stored, hash_cost{});
}

class foreign_hash : public testing::TestWithParam<known_answer> {};

TEST_P(foreign_hash, verifies_and_asks_for_a_rehash) {
  const auto found = check(GetParam().password, GetParam().stored);

  ASSERT_TRUE(found.has_value()) << found.error().detail;
  EXPECT_TRUE(found->matches);
  EXPECT_TRUE(found->needs_rehash);
}

TEST_P(foreign_hash, matches_no_other_password) {
  const std::string right{GetParam().password};
  for (const std::string& wrong :
       {right + "x", right.substr(1), std::string{}, right + std::string(1, '\0')}) {
    const auto found = check(wrong, GetParam().stored);
    ASSERT_TRUE(found.has_value()) << found.error().detail;
    EXPECT_FALSE(found->matches);
    EXPECT_FALSE(found->needs_rehash);
  }
}

TEST_P(foreign_hash, changed_anywhere_never_matches) {
  const std::string stored = GetParam().stored;
  for (std::size_t at = 0; at < stored.size(); at += 9) {
    std::string changed = stored;
    changed[at] = changed[at] == '1' ? '2' : '1';
    // Either refused or wrong; a changed cost may be above the bounds.
    const auto found = check(GetParam().password, changed);
    if (found.has_error()) {
      EXPECT_EQ(found.error().code, errc::bad_hash) << changed;
    } else {
      EXPECT_FALSE(found->matches) << changed;
    }
  }
}

// A tag of PBKDF2 or scrypt cut to no less than 16 bytes is a good hash of its own.
TEST_P(foreign_hash, cut_short_is_refused_or_does_not_match) {
  const std::string stored = GetParam().stored;
  const std::size_t tag_at = stored.find_last_of('$') + 1;
  for (std::size_t length = 0; length < std::min(stored.size(), tag_at + 21); length += 5) {
    const auto found = check(GetParam().password, stored.substr(0, length));
    if (found.has_value()) EXPECT_FALSE(found->matches) << stored.substr(0, length);
  }
}

INSTANTIATE_TEST_SUITE_P(all, foreign_hash, testing::ValuesIn(answers),
                         [](const auto& row) { return std::string{row.param.name}; });

TEST(foreign_hash_bounds, refuse_what_would_occupy_the_pool) {
  const std::string scrypt_tail = "$TmFDbE5hQ2xOYUNs$7WmhhDiKTG1dbJVbMWWkPdZ15RNLcCxJEqcsfhBUZmE";
  for (const std::string& stored : {
           std::string{"$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
           std::string{"$2b$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
           std::string{"$6$rounds=1000001$importsalt$x"},
           std::string{"$6$rounds=99999999999999999999$importsalt$x"},
           "$scrypt$ln=18,r=8,p=1" + scrypt_tail,  // 256 MiB
           "$scrypt$ln=17,r=8,p=5" + scrypt_tail,  // too long
           "$scrypt$ln=63,r=8,p=1" + scrypt_tail,  // 2^63
           "$scrypt$ln=64,r=8,p=1" + scrypt_tail,  // a shift too far
           "$scrypt$ln=10,r=4294967295,p=4294967295" + scrypt_tail, "$scrypt$ln=0,r=8,p=1" + scrypt_tail,
           "$scrypt$ln=10,r=0,p=1" + scrypt_tail, "$scrypt$ln=10,r=8,p=0" + scrypt_tail,
           std::string{"$pbkdf2-sha256$2000001$c2FsdA$yXM2wSAWJ2A..frRPIngNS63I//uRRKLjP6wGt1R26s"},
           std::string{"pbkdf2_sha256$4294967295$seasalt$zHd5RYFxjPPHtcyvFSF8qXKeIldCmyz1cMw32MducLw="},
           std::string{"pbkdf2_sha256$0$seasalt$zHd5RYFxjPPHtcyvFSF8qXKeIldCmyz1cMw32MducLw="},
           std::string{"pbkdf2_sha256$1$seasalt$zHd5RYFx"},  // a tag that matches by chance
       }) {
    const auto found = check("correct horse", stored);
    ASSERT_TRUE(found.has_error()) << stored;
    EXPECT_EQ(found.error().code, errc::bad_hash) << stored;
  }
}

// bcrypt reads 72 bytes, whoever computed it: an imported user with a longer password still gets in once.
TEST(foreign_hash_bounds, bcrypt_reads_72_bytes) {
  const std::string long_password(200, 'a');
  const std::string hash_of_72_a = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
  const auto whole = check(long_password, hash_of_72_a);
  const auto cut = check(long_password.substr(0, 72), hash_of_72_a);

  ASSERT_TRUE(whole.has_value() && cut.has_value());
  EXPECT_EQ(whole->matches, cut->matches);
}

TEST(foreign_hash_bounds, sha_crypt_never_matches_a_password_its_library_could_not_have_read) {
  const std::string stored =
      "$6$rounds=1000$importsalt$m01h5iMxQxddFl34zgUj46z7dFjIV/5cXiNqQyBwZPrI2uR00zRUyIN0A0X0g."
      "39aSLaHW6HNkJfkw2p4Rkoz0";
  const auto found = check(std::string(1024, 'x'), stored);

  ASSERT_TRUE(found.has_value());
  EXPECT_FALSE(found->matches);
}

}  // namespace
}  // namespace pam::crypto
