#include "server/crypto/tests/support.hpp"

#include <gtest/gtest.h>

#include <vector>

#include "server/crypto/detail/base64url.hpp"

namespace pam::crypto::test {

const std::string_view ec_members =
    R"("kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_t)"
    R"(ue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")";
const std::string_view other_ec_members =
    R"("kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5)"
    R"(vfvVHuhp7x8PxltmWWlbbM4IFyM","d":"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE")";
const std::string_view okp_members =
    R"("kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS)"
    R"(_7TyWQHOg7hcvPapiMlrwIaaPcHURo")";
const std::string_view hmac_members =
    R"("kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr)"
    R"(1Z9CAow")";
const std::string_view refresh_members = R"("kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")";
const std::string_view other_refresh_members =
    R"("kty":"oct","k":"ZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1-f4CBgoM")";
const std::string_view rsa_members =
    R"("kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2m)"
    R"(JPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHS)"
    R"(XndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7a)"
    R"(GhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB","d":"Eq5xpGn)"
    R"(NCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui39)"
    R"(5IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D)"
    R"(4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneu)"
    R"(fuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ","p":"4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3b)"
    R"(cxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1Vhv)"
    R"(Kn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc","q":"uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZ)"
    R"(xaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBype)"
    R"(eF6689rjcJIDEz9RWdc","dp":"BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9Yk)"
    R"(xvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxH)"
    R"(QAdYo0","dq":"h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6)"
    R"(N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU","qi":)"
    R"("IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi)"
    R"(87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U")";

std::string claims_with(std::string_view name, std::string_view value) {
  const std::string seconds = std::to_string(moment.time_since_epoch().count());
  const std::string end = std::to_string(moment.time_since_epoch().count() + 900);
  std::vector<std::pair<std::string_view, std::string>> members{
      {"iss", "\"" + std::string{issuer} + "\""},
      {"aud", "\"" + std::string{audience} + "\""},
      {"exp", end},
      {"iat", seconds},
      {"sub", "\"0198f0a0-0000-7000-8000-000000000001\""},
  };
  bool is_known = false;
  std::string text;
  const auto append = [&text](std::string_view key, std::string_view json) {
    text.append(text.empty() ? "{\"" : ",\"").append(key).append("\":").append(json);
  };
  for (const auto& [key, json] : members) {
    const bool is_meant = key == name;
    is_known = is_known || is_meant;
    if (!is_meant) append(key, json);
    if (is_meant && !value.empty()) append(key, value);
  }
  if (!is_known && !name.empty()) append(name, value);
  return text + "}";
}

std::string good_claims() {
  return claims_with("", "");
}

std::string key(std::string_view members, std::string_view use, std::string_view state,
                std::string_view extra) {
  std::string text{"{"};
  if (!extra.empty()) text.append(extra).append(",");
  text.append(members).append(",\"pam_use\":\"").append(use);
  return text.append("\",\"pam_state\":\"").append(state).append("\"}");
}

std::string key_set(std::initializer_list<std::string> keys) {
  std::string text{"{\"keys\":["};
  for (const std::string& each : keys) text.append(text.ends_with('[') ? "" : ",").append(each);
  return text + "]}";
}

std::string standard_set(std::string_view user_members, std::string_view user_extra) {
  return key_set({key(user_members, "user", "current", user_extra),
                  key(other_ec_members, "machine", "current", R"("kid":"m")"),
                  key(refresh_members, "refresh", "current", R"("kid":"7")")});
}

key_ring ring_of(const std::string& set) {
  auto ring = key_ring::parse(set);
  EXPECT_TRUE(ring.has_value()) << ring.error().detail;
  return std::move(ring.value());
}

std::string forge(std::string_view header, std::string_view claims, std::string_view signature) {
  return detail::to_base64url(header) + "." + detail::to_base64url(claims) + "." +
         detail::to_base64url(signature);
}

std::string replaced(std::string text, std::string_view what, std::string_view with) {
  const auto at = text.find(what);
  EXPECT_NE(at, std::string::npos) << what;
  if (at != std::string::npos) text.replace(at, what.size(), with);
  return text;
}

}  // namespace pam::crypto::test
