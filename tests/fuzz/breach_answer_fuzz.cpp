// Properties: an answer that is read holds at most a hash a line; the same lines in lower case, with bare
// line feeds or none at the end, are read the same.
#include "server/runtime/breach_answer.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/require.hpp"

using pam::fuzz::require;
using pam::runtime::breach_range;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto range = breach_range::parse(body);
  if (!range) return 0;
  const auto lines = static_cast<std::size_t>(std::ranges::count(body, '\n')) + 1;
  require(range->size() <= lines);
  std::string other{body};
  for (char& c : other) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  std::erase(other, '\r');
  if (other.ends_with('\n')) other.pop_back();
  const auto again = breach_range::parse(other);
  require(again.has_value() && again->size() == range->size());
  pam::crypto::sha1_digest zeros{};
  require(again->contains(zeros) == range->contains(zeros));
  return 0;
}
