#include "server/crypto/detail/strict_json.hpp"

#include <algorithm>
#include <vector>

#include "server/crypto/secret.hpp"

namespace pam::crypto::detail {

namespace {

bool has_unique_members(simdjson::dom::element value);

bool has_unique_members(simdjson::dom::object value) {
  std::vector<std::string_view> names;
  for (const auto& [name, member] : value) {
    names.push_back(name);
    if (!has_unique_members(member)) return false;
  }
  // Sorted, because a hostile document has thousands of names and pairs would cost their square.
  std::ranges::sort(names);
  return std::ranges::adjacent_find(names) == names.end();
}

// The depth of the recursion is the parser's limit.
bool has_unique_members(simdjson::dom::element value) {
  if (simdjson::dom::object object; value.get(object) == simdjson::SUCCESS) return has_unique_members(object);
  if (simdjson::dom::array array; value.get(array) == simdjson::SUCCESS) {
    return std::ranges::all_of(array, [](simdjson::dom::element item) { return has_unique_members(item); });
  }
  return true;
}

}  // namespace

bool parse_strict(simdjson::dom::parser& parser, std::string_view text, simdjson::dom::object& out) {
  if (parser.max_depth() != max_json_depth &&
      parser.allocate(text.size(), max_json_depth) != simdjson::SUCCESS) {
    return false;
  }
  // A padded copy of our own: simdjson would make one too, and not wipe it.
  std::string padded;
  padded.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  padded.append(text).append(simdjson::SIMDJSON_PADDING, ' ');
  const auto outcome = parser.parse(padded.data(), text.size(), false).get(out);
  wipe(padded.data(), padded.size());
  return outcome == simdjson::SUCCESS && has_unique_members(out);
}

void wipe_document(simdjson::dom::parser& parser) noexcept {
  // document::allocate() makes the string buffer at least this long.
  if (parser.doc.string_buf) wipe(parser.doc.string_buf.get(), parser.doc.capacity());
}

std::string json_string(std::string_view value) {
  std::string text;
  text.reserve(value.size() + 2);
  text.append(1, '"').append(value).append(1, '"');
  return text;
}

}  // namespace pam::crypto::detail
