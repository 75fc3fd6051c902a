// Request bodies decoded by the product (simdjson) and by Boost.JSON into the same structs: docs/adr/0070.
// "allocations" is per operation.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <string>

#include "bench/json/boost_json_decoder.hpp"
#include "bench/protocol/allocations.hpp"
#include "protocol/refresh_token_text.hpp"
#include "protocol/requests.hpp"

namespace {

using namespace pam::protocol;

/// Runs `decode` as the body of a benchmark and reports rate, bytes and allocations.
template <class Decode>
void measure(benchmark::State& state, const std::string& body, Decode decode) {
  const std::uint64_t before = pam::bench::allocations();
  for (auto _ : state) {
    auto request = decode(body);
    benchmark::DoNotOptimize(request);
  }
  state.counters["allocations"] =
      static_cast<double>(pam::bench::allocations() - before) /
      static_cast<double>(std::max<benchmark::IterationCount>(state.iterations(), 1));
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(body.size()));
}

std::string sign_up_body() {
  return R"({"email":"ada.lovelace@example.com","password":"correct horse battery","data":{"first_name":"Ada",)"
         R"("age":36,"tags":["math","engines"],"bio":")" +
         std::string(280, 'x') +
         R"("},"gotrue_meta_security":{},"code_challenge":null,"code_challenge_method":null})";
}

std::string sign_in_body() {
  return R"({"email":"ada.lovelace@example.com","password":"correct horse battery","gotrue_meta_security":{}})";
}

std::string refresh_body() {
  std::array<std::byte, refresh_token_image_bytes> image;
  for (std::size_t i = 0; i < image.size(); ++i) image[i] = static_cast<std::byte>(i * 37 % 256);
  return R"({"refresh_token":")" + encode_refresh_token(image) + "\"}";
}

void BM_sign_up(benchmark::State& state) {
  const std::string body = sign_up_body();
  const auto ours = decode_sign_up(body);
  const auto theirs = pam::bench::boost_json_sign_up(body);
  // Both must have read the same, else their ratio says nothing.
  if (!ours.has_value() || ours->email != theirs.email || ours->data.set != theirs.data.set) {
    state.SkipWithError("they differ");
    return;
  }
  measure(state, body, [](const std::string& text) { return decode_sign_up(text); });
}
BENCHMARK(BM_sign_up);
void BM_sign_up_reference(benchmark::State& state) {
  measure(state, sign_up_body(),
          [](const std::string& text) { return pam::bench::boost_json_sign_up(text); });
}
BENCHMARK(BM_sign_up_reference)->Name("BM_sign_up/reference");

void BM_sign_in(benchmark::State& state) {
  const std::string body = sign_in_body();
  const auto ours = decode_password_grant(body);
  const auto theirs = pam::bench::boost_json_password_grant(body);
  if (!ours.has_value() || ours->email != theirs.email || ours->password.view() != theirs.password.view()) {
    state.SkipWithError("they differ");
    return;
  }
  measure(state, body, [](const std::string& text) { return decode_password_grant(text); });
}
BENCHMARK(BM_sign_in);
void BM_sign_in_reference(benchmark::State& state) {
  measure(state, sign_in_body(),
          [](const std::string& text) { return pam::bench::boost_json_password_grant(text); });
}
BENCHMARK(BM_sign_in_reference)->Name("BM_sign_in/reference");

void BM_refresh(benchmark::State& state) {
  const std::string body = refresh_body();
  const auto ours = decode_refresh_grant(body);
  const auto theirs = pam::bench::boost_json_refresh_grant(body);
  if (!ours.has_value() || ours->refresh_token.view() != theirs.refresh_token.view()) {
    state.SkipWithError("they differ");
    return;
  }
  measure(state, body, [](const std::string& text) { return decode_refresh_grant(text); });
}
BENCHMARK(BM_refresh);
void BM_refresh_reference(benchmark::State& state) {
  measure(state, refresh_body(),
          [](const std::string& text) { return pam::bench::boost_json_refresh_grant(text); });
}
BENCHMARK(BM_refresh_reference)->Name("BM_refresh/reference");

}  // namespace
