#include "protocol/detail/json_reader.hpp"

#include <string.h>
#include <algorithm>
#include <charconv>
#include <cstring>

#include "protocol/detail/json_number.hpp"
#include "protocol/requests.hpp"

namespace pam::protocol::detail {
namespace {

/// Buffers of a document larger than this are given back: bodies end at 64 KB, imports are rare.
constexpr std::size_t kept_capacity = 256 * 1024;

/// Objects with more keys are sorted to find duplicates, smaller ones compared pair by pair.
constexpr std::size_t few_keys = 8;

constexpr std::size_t longest_pointer = 256;

std::string_view trimmed(std::string_view token) {
  const auto last = token.find_last_not_of(" \t\n\r");
  return last == std::string_view::npos ? std::string_view{} : token.substr(0, last + 1);
}

bool has_duplicate(std::vector<std::string_view>::iterator first,
                   std::vector<std::string_view>::iterator last) {
  if (static_cast<std::size_t>(last - first) <= few_keys) {
    for (; first != last; ++first) {
      if (std::find(first + 1, last, *first) != last) return true;
    }
    return false;
  }
  std::sort(first, last);
  return std::adjacent_find(first, last) != last;
}

/// simdjson lets `\u0000` and lone low surrogates through. The raw document is valid UTF-8 without
/// control characters, so either can only come from an escape, and ED followed by A0 to BF can only be
/// a surrogate.
bool is_storable(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return false;
  for (auto at = text.find('\xED'); at != std::string_view::npos; at = text.find('\xED', at + 1)) {
    if (at + 1 < text.size() && static_cast<unsigned char>(text[at + 1]) >= 0xA0) return false;
  }
  return true;
}

}  // namespace

json_reader& json_reader::of_this_thread() {
  thread_local json_reader reader;
  return reader;
}

json_kind json_reader::kind_of(value& v) {
  switch (v.raw_json_token().front()) {
    case '{':
      return json_kind::object;
    case '[':
      return json_kind::array;
    case '"':
      return json_kind::string;
    case 't':
    case 'f':
      return json_kind::boolean;
    case 'n':
      return json_kind::null;
    default:
      return json_kind::number;
  }
}

bool json_reader::refuse(const error_code& code, std::string_view predicate) {
  fault_.code = &code;
  fault_.detail = predicate;
  fault_.pointer.clear();
  return false;
}

bool json_reader::refuse(const error_code& code, std::string_view member, std::string_view predicate) {
  refuse(code, predicate);
  return below(member);
}

bool json_reader::below(std::string_view segment) {
  std::string step = "/";
  for (const char c : segment) {  // RFC 6901 section 3
    if (c == '~') {
      step += "~0";
    } else if (c == '/') {
      step += "~1";
    } else {
      step += c;
    }
  }
  // Keys are the client's: an answer names the innermost place whose pointer is of decent length.
  if (step.size() + fault_.pointer.size() > longest_pointer) fault_.pointer.clear();
  if (step.size() <= longest_pointer) fault_.pointer.insert(0, step);
  return false;
}

decode_error json_reader::take_fault() {
  const std::string subject = fault_.pointer.empty() ? "The body " : "The member " + fault_.pointer + " ";
  fault_.detail = subject + fault_.detail + ".";
  return std::move(fault_);
}

bool json_reader::broken(simdjson::error_code why) {
  switch (why) {
    case simdjson::UTF8_ERROR:
      return refuse(codes::bad_json, "must be valid UTF-8");
    case simdjson::MEMALLOC:
    case simdjson::CAPACITY:
      return refuse(codes::bad_json, "must be smaller");
    default:
      return refuse(codes::bad_json, "must be well-formed JSON");
  }
}

bool json_reader::begin(std::string_view json) {
  depth_ = 0;
  keys_.clear();
  padded_.reserve(json.size() + simdjson::SIMDJSON_PADDING);
  padded_.assign(json);
  if (strings_.size() < json.size() + simdjson::SIMDJSON_PADDING) {
    strings_.resize(json.size() + simdjson::SIMDJSON_PADDING);
  }
  next_string_ = strings_.data();
  const simdjson::padded_string_view document(padded_.data(), padded_.size(), padded_.capacity());
  const auto status = parser_.iterate(document).get(document_);
  return status == simdjson::SUCCESS || broken(status);
}

bool json_reader::finish() {
  const bool is_at_end = document_.current_location().error() == simdjson::OUT_OF_BOUNDS;
  return is_at_end || refuse(codes::bad_json, "must end with its JSON value");
}

/// Bodies carry passwords and tokens: neither copy outlives the call.
void json_reader::wipe() {
  explicit_bzero(padded_.data(), padded_.size());
  explicit_bzero(strings_.data(), static_cast<std::size_t>(next_string_ - strings_.data()));
  if (padded_.capacity() <= kept_capacity) return;
  padded_ = {};
  strings_ = {};
  next_string_ = nullptr;
  parser_ = simdjson::ondemand::parser{};
}

bool json_reader::enter() {
  if (++depth_ <= max_json_depth) return true;
  return refuse(codes::bad_json, "must not nest arrays and objects deeper than 32");
}

bool json_reader::leave_object(std::size_t first_key) {
  const auto first = keys_.begin() + static_cast<std::ptrdiff_t>(first_key);
  if (has_duplicate(first, keys_.end())) {
    return refuse(codes::bad_json, "must not repeat a key");
  }
  keys_.erase(first, keys_.end());
  --depth_;
  return true;
}

bool json_reader::unescape(simdjson::ondemand::raw_json_string raw, std::string_view& out) {
  if (parser_.unescape(raw, next_string_).get(out) == simdjson::SUCCESS && is_storable(out)) return true;
  return refuse(codes::bad_json, "must not hold U+0000, lone surrogates or unknown escapes");
}

bool json_reader::within_budget(const json_writer* out) {
  if (out == nullptr || out->size() <= budget_) return true;
  return refuse(codes::validation_failed,
                "must be at most " + std::to_string(budget_) + " bytes of JSON, numbers written in full");
}

bool json_reader::copy(value& v, json_writer& out, std::size_t max_bytes) {
  budget_ = max_bytes;
  return walk(v, &out);
}

bool json_reader::text(value& v, std::string_view& out) {
  if (kind_of(v) != json_kind::string) return refuse(codes::validation_failed, "must be a string");
  simdjson::ondemand::raw_json_string raw;
  if (const auto status = v.get_raw_json_string().get(raw); status != simdjson::SUCCESS) {
    return broken(status);
  }
  return unescape(raw, out);
}

bool json_reader::integer(value& v, std::int64_t& out) {
  const auto token = trimmed(v.raw_json_token());
  if (!skip(v)) return false;
  const auto [end, status] = std::from_chars(token.data(), token.data() + token.size(), out);
  if (status == std::errc{} && end == token.data() + token.size()) return true;
  return refuse(codes::validation_failed, "must be an integer");
}

bool json_reader::boolean(value& v, bool& out) {
  if (kind_of(v) != json_kind::boolean) return refuse(codes::validation_failed, "must be true or false");
  out = v.raw_json_token().front() == 't';
  return skip(v);
}

bool json_reader::walk(value& v, json_writer* out) {
  const auto kind = kind_of(v);
  if (kind == json_kind::string) return walk_string(v, out);
  if (kind == json_kind::object) {
    if (out != nullptr) out->begin_object();
    const bool is_fine = each_member(v, [this, out](std::string_view key, value& member) {
      if (out != nullptr) out->key(key);
      return walk(member, out);
    });
    if (out != nullptr) out->end_object();
    return is_fine && within_budget(out);
  }
  if (kind == json_kind::array) {
    if (out != nullptr) out->begin_array();
    const bool is_fine = each_element(v, [this, out](value& element) { return walk(element, out); });
    if (out != nullptr) out->end_array();
    return is_fine && within_budget(out);
  }
  return walk_scalar(v, out);
}

bool json_reader::walk_string(value& v, json_writer* out) {
  std::string_view content;
  if (!text(v, content)) return false;
  if (out != nullptr) out->text(content);
  return within_budget(out);
}

bool json_reader::walk_scalar(value& v, json_writer* out) {
  const auto token = trimmed(v.raw_json_token());
  if (token == "true" || token == "false" || token == "null") {
    if (out != nullptr) out->raw(token);
    return within_budget(out);
  }
  switch (judge_number(token)) {
    case number_verdict::malformed:
      return refuse(codes::bad_json, "must be well-formed JSON");
    case number_verdict::out_of_range:
      return refuse(codes::bad_json, "must be a number that fits a double");
    case number_verdict::fine:
      break;
  }
  if (out == nullptr) return true;
  number_.clear();
  append_number(number_, token);
  out->raw(number_);
  return within_budget(out);
}

}  // namespace pam::protocol::detail
