// What does our own code add to a signature, a check or a hash of the library under it? Each pair of
// benchmarks does the same cryptography; the difference is ours.
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <sodium.h>

#include <array>
#include <chrono>
#include <string>

#include <benchmark/benchmark.h>

#include "server/crypto/detail/base64url.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/password_hash.hpp"
#include "server/crypto/random.hpp"
#include "server/crypto/sealing.hpp"

namespace {

using namespace pam::crypto;

constexpr std::string_view issuer = "https://auth.example/auth/v1";
constexpr std::string_view audience = "authenticated";
constexpr auto moment = std::chrono::system_clock::time_point{std::chrono::seconds{1'795'344'180}};

/// An access token's claims as the server makes them, about 500 bytes.
const std::string& claims() {
  static const std::string text =
      R"({"iss":"https://auth.example/auth/v1","sub":"0198f0a0-0000-7000-8000-000000000001",)"
      R"("aud":"authenticated","exp":1795345080,"iat":1795344180,"email":"anna@example.com","phone":"",)"
      R"("app_metadata":{"provider":"email","providers":["email"]},"user_metadata":{"email":"anna@example.com",)"
      R"("email_verified":true,"phone_verified":false,"sub":"0198f0a0-0000-7000-8000-000000000001"},)"
      R"("role":"authenticated","aal":"aal1","amr":[{"method":"password","timestamp":1795344180}],)"
      R"("session_id":"0198f0a0-0000-7000-8000-000000000002","is_anonymous":false})";
  return text;
}

key_ring fresh_ring(algorithm alg) {
  return *key_ring::parse(*key_ring::generate(alg));
}

void BM_sign(benchmark::State& state, algorithm alg) {
  const auto ring = fresh_ring(alg);
  for (auto _ : state) benchmark::DoNotOptimize(ring.sign(key_use::user, claims()));
  state.SetItemsProcessed(state.iterations());
}

void BM_verify(benchmark::State& state, algorithm alg) {
  const auto ring = fresh_ring(alg);
  const std::string jwt = *ring.sign(key_use::user, claims());
  const jwt_expectation expected{.issuer = issuer, .audience = audience, .now = moment};
  if (!ring.verify(jwt, expected).has_value()) state.SkipWithError("the token does not verify");
  for (auto _ : state) benchmark::DoNotOptimize(ring.verify(jwt, expected));
  state.SetItemsProcessed(state.iterations());
}

/// OpenSSL alone: its signature of a message as long as a token's signed part.
struct bare_openssl {
  explicit bare_openssl(algorithm alg) : digest(alg == algorithm::eddsa ? nullptr : EVP_sha256()) {
    if (alg == algorithm::es256) key = EVP_EC_gen("P-256");
    if (alg == algorithm::rs256) key = EVP_RSA_gen(2048U);
    if (alg == algorithm::eddsa) key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  }
  ~bare_openssl() { EVP_PKEY_free(key); }
  bare_openssl(const bare_openssl&) = delete;
  bare_openssl& operator=(const bare_openssl&) = delete;

  std::size_t sign() {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    std::size_t length = signature.size();
    EVP_DigestSignInit(context, nullptr, digest, nullptr, key);
    EVP_DigestSign(context, signature.data(), &length, message.data(), message.size());
    EVP_MD_CTX_free(context);
    return length;
  }
  bool verify(std::size_t length) const {
    EVP_MD_CTX* const context = EVP_MD_CTX_new();
    EVP_DigestVerifyInit(context, nullptr, digest, nullptr, key);
    const int outcome = EVP_DigestVerify(context, signature.data(), length, message.data(), message.size());
    EVP_MD_CTX_free(context);
    return outcome == 1;
  }

  const EVP_MD* digest;
  EVP_PKEY* key = nullptr;
  std::array<unsigned char, 512> signature = {};
  std::array<unsigned char, 850> message = {};
};

void BM_sign_bare_openssl(benchmark::State& state, algorithm alg) {
  bare_openssl bare{alg};
  for (auto _ : state) benchmark::DoNotOptimize(bare.sign());
  state.SetItemsProcessed(state.iterations());
}

void BM_verify_bare_openssl(benchmark::State& state, algorithm alg) {
  bare_openssl bare{alg};
  const std::size_t length = bare.sign();
  for (auto _ : state) benchmark::DoNotOptimize(bare.verify(length));
  state.SetItemsProcessed(state.iterations());
}

BENCHMARK_CAPTURE(BM_sign, es256, algorithm::es256);
BENCHMARK_CAPTURE(BM_sign_bare_openssl, es256, algorithm::es256)->Name("BM_sign/es256/reference");
BENCHMARK_CAPTURE(BM_sign, eddsa, algorithm::eddsa);
BENCHMARK_CAPTURE(BM_sign_bare_openssl, eddsa, algorithm::eddsa)->Name("BM_sign/eddsa/reference");
BENCHMARK_CAPTURE(BM_sign, rs256, algorithm::rs256);
BENCHMARK_CAPTURE(BM_sign_bare_openssl, rs256, algorithm::rs256)->Name("BM_sign/rs256/reference");
BENCHMARK_CAPTURE(BM_sign, hs256, algorithm::hs256);
BENCHMARK_CAPTURE(BM_verify, es256, algorithm::es256);
BENCHMARK_CAPTURE(BM_verify_bare_openssl, es256, algorithm::es256)->Name("BM_verify/es256/reference");
BENCHMARK_CAPTURE(BM_verify, eddsa, algorithm::eddsa);
BENCHMARK_CAPTURE(BM_verify_bare_openssl, eddsa, algorithm::eddsa)->Name("BM_verify/eddsa/reference");
BENCHMARK_CAPTURE(BM_verify, rs256, algorithm::rs256);
BENCHMARK_CAPTURE(BM_verify_bare_openssl, rs256, algorithm::rs256)->Name("BM_verify/rs256/reference");
BENCHMARK_CAPTURE(BM_verify, hs256, algorithm::hs256);

// A token's claims as text and back: by table, and in constant time as keys are.
void BM_base64url(benchmark::State& state) {
  for (auto _ : state) {
    const std::string text = detail::public_to_base64url(claims());
    benchmark::DoNotOptimize(detail::public_from_base64url(text));
  }
}
BENCHMARK(BM_base64url);

void BM_base64url_constant_time(benchmark::State& state) {
  for (auto _ : state) {
    const std::string text = detail::to_base64url(claims());
    benchmark::DoNotOptimize(detail::from_base64url(text));
  }
}
BENCHMARK(BM_base64url_constant_time)->Name("BM_base64url/reference");

void BM_argon2id_hash(benchmark::State& state) {
  const secret password{std::string_view{"correct horse battery staple"}};
  const hash_cost cost;
  for (auto _ : state) benchmark::DoNotOptimize(hash_password(password, cost));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_argon2id_hash)->Unit(benchmark::kMillisecond);

void BM_argon2id_verify(benchmark::State& state) {
  const secret password{std::string_view{"correct horse battery staple"}};
  const hash_cost cost;
  const std::string stored = *hash_password(password, cost);
  for (auto _ : state) benchmark::DoNotOptimize(verify_password(password, stored, cost));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_argon2id_verify)->Unit(benchmark::kMillisecond);

void BM_argon2id_bare_libsodium(benchmark::State& state) {
  const std::string_view password = "correct horse battery staple";
  const hash_cost cost;
  std::array<char, crypto_pwhash_STRBYTES> text = {};
  for (auto _ : state) {
    benchmark::DoNotOptimize(crypto_pwhash_argon2id_str(text.data(), password.data(), password.size(),
                                                        cost.passes, std::size_t{cost.memory_kib} * 1024));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_argon2id_bare_libsodium)->Name("BM_argon2id_hash/reference")->Unit(benchmark::kMillisecond);

void BM_refresh_token_derive(benchmark::State& state) {
  const auto ring = fresh_ring(algorithm::es256);
  const auto token = ring.first_refresh_token(uuid_v4(), uuid_v4());
  std::uint32_t generation = 0;
  for (auto _ : state) benchmark::DoNotOptimize(ring.derive(token, ++generation));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_refresh_token_derive);

void BM_refresh_token_is_genuine(benchmark::State& state) {
  const auto ring = fresh_ring(algorithm::es256);
  const auto image = image_of(ring.first_refresh_token(uuid_v4(), uuid_v4()));
  for (auto _ : state) benchmark::DoNotOptimize(ring.is_genuine(parse(image)));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_refresh_token_is_genuine);

void BM_refresh_token_hash(benchmark::State& state) {
  const auto token = fresh_ring(algorithm::es256).first_refresh_token(uuid_v4(), uuid_v4());
  for (auto _ : state) benchmark::DoNotOptimize(hash_of(token));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_refresh_token_hash);

void BM_uuid_v7(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(uuid_v7(moment));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_uuid_v7);

void BM_seal_and_open(benchmark::State& state) {
  const auto box = *sealer::parse(sealer::generate().view());
  const std::string plain(static_cast<std::size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    const auto sealed = box.seal(std::as_bytes(std::span{plain}), "bench");
    benchmark::DoNotOptimize(box.open(sealed, "bench"));
  }
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(BM_seal_and_open)->Arg(64)->Arg(4096);

}  // namespace
