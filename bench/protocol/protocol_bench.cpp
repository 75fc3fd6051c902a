// What the wire contract costs a request: decoding its body, encoding its answer, and what a bearer check
// reads. "allocations" is per operation. A decode's reference is simdjson's eager parse of the same body
// into its own tape, which copies nothing out and judges less.
#include <benchmark/benchmark.h>

#include <simdjson.h>

#include "bench/protocol/allocations.hpp"
#include "protocol/claims.hpp"
#include "protocol/objects.hpp"
#include "protocol/problem.hpp"
#include "protocol/refresh_token_text.hpp"
#include "protocol/requests.hpp"

namespace {

using namespace pam::protocol;

/// Runs `work` as the body of a benchmark and reports rate, bytes and allocations.
template <class Work>
void measure(benchmark::State& state, std::size_t bytes, Work work) {
  const std::uint64_t before = pam::bench::allocations();
  for (auto _ : state) work();
  state.counters["allocations"] =
      static_cast<double>(pam::bench::allocations() - before) /
      static_cast<double>(std::max<benchmark::IterationCount>(state.iterations(), 1));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(bytes));
}

std::string sign_up_body(std::size_t size) {
  std::string body =
      R"({"email":"ada.lovelace@example.com","password":"correct horse battery","data":{"first_name":"Ada",)"
      R"("age":36,"tags":["math","engines"],"bio":")";
  const std::string end =
      R"("},"gotrue_meta_security":{},"code_challenge":null,"code_challenge_method":null})";
  body.append(size - body.size() - end.size(), 'x');
  return body + end;
}

std::string refresh_body() {
  std::array<std::byte, refresh_token_image_bytes> image;
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::byte>(i * 37 % 256);
  return R"({"refresh_token":")" + encode_refresh_token(image) + "\"}";
}

user example_user() {
  user value;
  value.id = *parse_uuid("01939393-2222-7333-8444-666666666666");
  value.aud = value.role = "authenticated";
  value.email = "ada.lovelace@example.com";
  const timestamp moment{std::chrono::microseconds{1'795'344'180'123'456}};
  value.email_confirmed_at = value.last_sign_in_at = moment;
  value.created_at = value.updated_at = moment;
  value.app_metadata = R"({"provider":"email","providers":["email"]})";
  value.user_metadata =
      initial_user_metadata(R"({"first_name":"Ada","age":36})", value.email, value.id, true);
  identity email;
  email.identity_id = email.user_id = value.id;
  email.provider_id = to_string(value.id);
  email.identity_data = initial_identity_data(value.email, value.id, true);
  email.provider = "email";
  email.email = value.email;
  email.last_sign_in_at = moment;
  email.created_at = email.updated_at = moment;
  value.identities.push_back(std::move(email));
  return value;
}

access_claims example_claims() {
  const user who = example_user();
  access_claims claims;
  claims.iss = "https://auth.example.com/auth/v1";
  claims.sub = claims.session_id = who.id;
  claims.exp = 1'795'345'080;
  claims.iat = 1'795'344'180;
  claims.email = who.email;
  claims.app_metadata = who.app_metadata;
  claims.user_metadata = who.user_metadata;
  claims.role = who.role;
  claims.amr = {{"password", 1'795'344'180}};
  return claims;
}

void parse_eagerly(benchmark::State& state, const std::string& body) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded{body};
  measure(state, body.size(), [&] {
    auto outcome = parser.parse(padded);
    benchmark::DoNotOptimize(outcome);
  });
}

void BM_decode_sign_up(benchmark::State& state) {
  const std::string body = sign_up_body(512);
  measure(state, body.size(), [&] {
    auto outcome = decode_sign_up(body);
    if (!outcome.has_value()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(outcome);
  });
}
BENCHMARK(BM_decode_sign_up)->Name("BM_decode_sign_up/512B");
void BM_parse_sign_up(benchmark::State& state) {
  parse_eagerly(state, sign_up_body(512));
}
BENCHMARK(BM_parse_sign_up)->Name("BM_decode_sign_up/512B/reference");

void BM_decode_refresh(benchmark::State& state) {
  const std::string body = refresh_body();
  measure(state, body.size(), [&] {
    auto outcome = decode_refresh_grant(body);
    auto image = decode_refresh_token(outcome->refresh_token.view());
    if (!image) state.SkipWithError("refused");
    benchmark::DoNotOptimize(image);
  });
}
BENCHMARK(BM_decode_refresh)->Name("BM_decode_refresh/121B");
void BM_parse_refresh(benchmark::State& state) {
  parse_eagerly(state, refresh_body());
}
BENCHMARK(BM_parse_refresh)->Name("BM_decode_refresh/121B/reference");

void BM_decode_token_subject(benchmark::State& state) {
  const std::string payload = encode(example_claims());
  measure(state, payload.size(), [&] {
    auto outcome = decode_token_subject(payload);
    if (!outcome.has_value()) state.SkipWithError("refused");
    benchmark::DoNotOptimize(outcome);
  });
}
BENCHMARK(BM_decode_token_subject);
void BM_parse_token_subject(benchmark::State& state) {
  parse_eagerly(state, encode(example_claims()));
}
BENCHMARK(BM_parse_token_subject)->Name("BM_decode_token_subject/reference");

void BM_encode_user(benchmark::State& state) {
  const user value = example_user();
  measure(state, encode(value).size(), [&] {
    std::string text = encode(value);
    benchmark::DoNotOptimize(text);
  });
}
BENCHMARK(BM_encode_user);

void BM_encode_token_response(benchmark::State& state) {
  token_response value;
  value.access_token = std::string(1'000, 'a');
  value.expires_in = 900;
  value.expires_at = 1'795'345'080;
  value.refresh_token = std::string(refresh_token_text_length, 'r');
  value.user = example_user();
  measure(state, encode(value).size(), [&] {
    std::string text = encode(value);
    benchmark::DoNotOptimize(text);
  });
}
BENCHMARK(BM_encode_token_response);

void BM_encode_access_claims(benchmark::State& state) {
  const access_claims value = example_claims();
  measure(state, encode(value).size(), [&] {
    std::string text = encode(value);
    benchmark::DoNotOptimize(text);
  });
}
BENCHMARK(BM_encode_access_claims);

void BM_encode_problem(benchmark::State& state) {
  problem value;
  value.code = &codes::over_capacity;
  value.reason = "hash_queue";
  value.request_id = "01J9ZK3QX5W7Y8A2B4C6D8E0FG";
  measure(state, encode(value, true, "https://auth.example.com").size(), [&] {
    std::string text = encode(value, true, "https://auth.example.com");
    benchmark::DoNotOptimize(text);
  });
}
BENCHMARK(BM_encode_problem);

}  // namespace
