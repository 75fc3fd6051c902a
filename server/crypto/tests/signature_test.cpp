#include "server/crypto/detail/signature.hpp"

#include <gtest/gtest.h>

#include <array>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/detail/jwk.hpp"
#include "server/crypto/tests/support.hpp"

namespace pam::crypto::detail {
namespace {

constexpr std::string_view payload_a =  // the payload of RFC 7515 appendices A.1 to A.3
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

/// One published JWS and the key it was made with.
struct vector {
  std::string_view name;
  std::string_view members;
  std::string header_and_payload;
  std::string_view signature;
};

std::array<vector, 4> rfc_vectors() {
  return {{
      {"RFC 7515 A.1", test::hmac_members,
       "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + std::string{payload_a},
       "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
      {"RFC 7515 A.2", test::rsa_members, "eyJhbGciOiJSUzI1NiJ9." + std::string{payload_a},
       "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
       "O8W2Fp5jujGbds9uJd"
       "bF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_"
       "eSN938"
       "3LcOLn6_dO--xi12jzDwusC-"
       "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkW"
       "ywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
      {"RFC 7515 A.3", test::ec_members, "eyJhbGciOiJFUzI1NiJ9." + std::string{payload_a},
       "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
      {"RFC 8037 A.4", test::okp_members, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
       "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
  }};
}

signing_material material_of(std::string_view members) {
  constexpr std::array only_user{jwk_use::user};
  auto keys =
      parse_jwk_set(test::key_set({test::key(members, "user", "current", R"("kid":"a")")}), only_user);
  EXPECT_TRUE(keys.has_value()) << keys.error().detail;
  return std::move(keys->front().material);
}

signing_material hmac_key_of(std::string_view octets) {
  signing_material material;
  material.alg = algorithm::hs256;
  material.hmac_key = secret{octets};
  return material;
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(std::string{hex.substr(i, 2)}, nullptr, 16)));
  }
  return bytes;
}

TEST(signature, the_published_vectors_verify) {
  for (const vector& each : rfc_vectors()) {
    const auto signature = from_base64url(each.signature);
    ASSERT_TRUE(signature) << each.name;
    EXPECT_TRUE(verify(material_of(each.members), each.header_and_payload, *signature)) << each.name;
  }
}

TEST(signature, deterministic_algorithms_make_the_published_signatures) {
  for (const vector& each : rfc_vectors()) {
    const auto material = material_of(each.members);
    if (material.alg == algorithm::es256) continue;
    EXPECT_EQ(to_base64url(*sign(material, each.header_and_payload)), each.signature) << each.name;
  }
}

TEST(signature, any_flipped_bit_of_a_signature_is_noticed) {
  for (const vector& each : rfc_vectors()) {
    const auto material = material_of(each.members);
    std::string signature = *from_base64url(each.signature);
    for (std::size_t bit = 0; bit < signature.size() * 8; ++bit) {
      const auto mask = static_cast<char>(1 << (bit % 8));
      signature[bit / 8] = static_cast<char>(signature[bit / 8] ^ mask);
      EXPECT_FALSE(verify(material, each.header_and_payload, signature)) << each.name << " bit " << bit;
      signature[bit / 8] = static_cast<char>(signature[bit / 8] ^ mask);
    }
  }
}

TEST(signature, any_flipped_bit_of_a_message_is_noticed) {
  for (const vector& each : rfc_vectors()) {
    const auto material = material_of(each.members);
    const std::string signature = *from_base64url(each.signature);
    std::string message = each.header_and_payload;
    for (std::size_t bit = 0; bit < message.size() * 8; ++bit) {
      const auto mask = static_cast<char>(1 << (bit % 8));
      message[bit / 8] = static_cast<char>(message[bit / 8] ^ mask);
      EXPECT_FALSE(verify(material, message, signature)) << each.name << " bit " << bit;
      message[bit / 8] = static_cast<char>(message[bit / 8] ^ mask);
    }
  }
}

TEST(signature, a_signature_of_another_length_is_refused) {
  for (const vector& each : rfc_vectors()) {
    const auto material = material_of(each.members);
    const std::string good = *from_base64url(each.signature);
    EXPECT_FALSE(verify(material, each.header_and_payload, ""));
    EXPECT_FALSE(verify(material, each.header_and_payload, std::string_view{good}.substr(1)));
    EXPECT_FALSE(
        verify(material, each.header_and_payload, std::string_view{good}.substr(0, good.size() - 1)));
    EXPECT_FALSE(verify(material, each.header_and_payload, good + std::string(1, '\0')));
    EXPECT_FALSE(verify(material, each.header_and_payload, std::string(1, '\0') + good));
  }
}

TEST(signature, es256_r_and_s_outside_their_range_are_refused) {
  const auto material = material_of(test::ec_members);
  const vector es256 = rfc_vectors()[2];
  const std::string good = *from_base64url(es256.signature);
  const std::string r = good.substr(0, 32);
  const std::string s = good.substr(32);
  const std::string zero(32, '\0');
  const std::string order = from_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
  const std::string most(32, '\xff');

  for (const std::string& bad :
       {zero + s, r + zero, zero + zero, order + s, r + order, most + s, r + most, s + r}) {
    EXPECT_FALSE(verify(material, es256.header_and_payload, bad));
  }
}

TEST(signature, a_der_signature_is_no_jose_signature) {
  // What OpenSSL itself makes and RFC 7518 section 3.4 forbids.
  const std::string der = from_hex("3006020101020101");
  EXPECT_FALSE(verify(material_of(test::ec_members), "message", der));
}

TEST(signature, an_es256_signature_has_64_octets_even_when_r_or_s_is_short) {
  // One signature in 128 has a leading zero octet in r or s; without padding it would be shorter.
  const auto material = material_of(test::ec_members);
  for (int i = 0; i < 600; ++i) {
    const std::string message = "message " + std::to_string(i);
    const auto signature = sign(material, message);
    ASSERT_EQ(signature->size(), 64U);
    if (signature->front() == '\0' || (*signature)[32] == '\0')
      EXPECT_TRUE(verify(material, message, *signature));
  }
}

TEST(signature, hmac_agrees_with_rfc_4231) {
  const auto mac = [](const std::string& key, std::string_view message) {
    return *sign(hmac_key_of(key), message);
  };
  EXPECT_EQ(mac(std::string(20, '\x0b'), "Hi There"),
            from_hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"));
  EXPECT_EQ(mac("Jefe", "what do ya want for nothing?"),
            from_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
  EXPECT_EQ(mac(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First"),
            from_hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"));
}

TEST(signature, the_public_half_of_a_key_cannot_sign) {
  auto material = material_of(test::ec_members);
  material.can_sign = false;
  EXPECT_EQ(sign(material, "message").error().code, errc::failure);
}

}  // namespace
}  // namespace pam::crypto::detail
