#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "protocol/decode_error.hpp"
#include "protocol/json_writer.hpp"

namespace pam::protocol::detail {

enum class json_kind { object, array, string, number, boolean, null };

/// Strict reader of one JSON document at a time (the rules stand in requests.hpp).
///
/// simdjson's On-Demand parser is lazy: it judges only what is visited. So everything is visited here: a
/// callback must consume its value with exactly one call of `skip`, `copy`, `text`, `integer`,
/// `each_member` or `each_element`. On-Demand and not the DOM because the DOM refuses integers beyond 64
/// bits, which JavaScript writes without an exponent up to 1e21.
///
/// Every function returns false after the first error, which `take_fault` then holds; callbacks return
/// false to stop. Views given out live until the document was read, in memory that is wiped then.
class json_reader {
 public:
  using value = simdjson::ondemand::value;

  /// One per thread, because its buffers are worth keeping. Never across a suspension.
  static json_reader& of_this_thread();

  json_reader() = default;
  json_reader(const json_reader&) = delete;
  json_reader& operator=(const json_reader&) = delete;

  /// Reads a document whose root is an object; `member(key, value)` for each of its members.
  template <class Member>
  [[nodiscard]] bool read_object(std::string_view json, Member&& member);
  /// Reads a document whose root is an array; `element(value)` for each of its elements.
  template <class Element>
  [[nodiscard]] bool read_array(std::string_view json, Element&& element);

  /// Judges a value and forgets it.
  [[nodiscard]] bool skip(value& v) { return walk(v, nullptr); }
  /// Judges a value and writes it canonically; `validation_failed` once `out` exceeds `max_bytes`.
  [[nodiscard]] bool copy(value& v, json_writer& out, std::size_t max_bytes);
  /// A string, unescaped; `validation_failed` for other types.
  [[nodiscard]] bool text(value& v, std::string_view& out);
  /// An integer of 64 bits; `validation_failed` for anything else.
  [[nodiscard]] bool integer(value& v, std::int64_t& out);
  [[nodiscard]] bool boolean(value& v, bool& out);
  /// Goes through an object inside the document; `validation_failed` for other types.
  template <class Member>
  [[nodiscard]] bool each_member(value& v, Member&& member);
  template <class Element>
  [[nodiscard]] bool each_element(value& v, Element&& element);

  /// What a value is by its first character; its text is judged when it is consumed.
  [[nodiscard]] static json_kind kind_of(value& v);

  /// Remembers an error about the value at hand and returns false.
  /// @param predicate  "must be a string": the subject is put in front of it
  bool refuse(const error_code& code, std::string_view predicate);
  /// The same about a member of the value at hand.
  bool refuse(const error_code& code, std::string_view member, std::string_view predicate);
  [[nodiscard]] decode_error take_fault();

 private:
  using object = simdjson::ondemand::object;
  using array = simdjson::ondemand::array;

  bool begin(std::string_view json);
  bool finish();
  void wipe();
  bool walk(value& v, json_writer* out);
  bool walk_string(value& v, json_writer* out);
  bool walk_scalar(value& v, json_writer* out);
  bool unescape(simdjson::ondemand::raw_json_string raw, std::string_view& out);
  bool enter();
  bool leave_object(std::size_t first_key);
  bool broken(simdjson::error_code why);
  bool within_budget(const json_writer* out);
  /// Puts one more segment in front of the fault's pointer; returns false.
  bool below(std::string_view segment);

  template <class Member>
  bool members(object& o, Member&& member);
  template <class Element>
  bool elements(array& a, Element&& element);

  simdjson::ondemand::parser parser_;
  simdjson::ondemand::document document_;
  std::string padded_;                   ///< the document and simdjson's padding
  std::vector<std::uint8_t> strings_;    ///< every unescaped string of the document, one after the other
  std::uint8_t* next_string_ = nullptr;  ///< into strings_
  std::vector<std::string_view> keys_;   ///< keys of the objects that are open, innermost last
  std::string number_;                   ///< scratch
  decode_error fault_;
  std::size_t depth_ = 0;
  std::size_t budget_ = 0;
};

template <class Member>
bool json_reader::read_object(std::string_view json, Member&& member) {
  bool is_fine = begin(json);
  object root;
  if (is_fine) {
    if (document_.get_object().get(root) != simdjson::SUCCESS) {
      is_fine = refuse(codes::bad_json, "must be one complete JSON object");
    } else {
      is_fine = members(root, member) && finish();
    }
  }
  wipe();
  return is_fine;
}

template <class Element>
bool json_reader::read_array(std::string_view json, Element&& element) {
  bool is_fine = begin(json);
  array root;
  if (is_fine) {
    if (document_.get_array().get(root) != simdjson::SUCCESS) {
      is_fine = refuse(codes::bad_json, "must be one complete JSON array");
    } else {
      is_fine = elements(root, element) && finish();
    }
  }
  wipe();
  return is_fine;
}

template <class Member>
bool json_reader::each_member(value& v, Member&& member) {
  object o;
  if (kind_of(v) != json_kind::object) return refuse(codes::validation_failed, "must be a JSON object");
  if (const auto status = v.get_object().get(o); status != simdjson::SUCCESS) return broken(status);
  return members(o, member);
}

template <class Element>
bool json_reader::each_element(value& v, Element&& element) {
  array a;
  if (kind_of(v) != json_kind::array) return refuse(codes::validation_failed, "must be a JSON array");
  if (const auto status = v.get_array().get(a); status != simdjson::SUCCESS) return broken(status);
  return elements(a, element);
}

template <class Member>
bool json_reader::members(object& o, Member&& member) {
  if (!enter()) return false;
  const std::size_t first_key = keys_.size();
  for (auto next : o) {
    simdjson::ondemand::field field;
    std::string_view key;
    if (const auto status = std::move(next).get(field); status != simdjson::SUCCESS) return broken(status);
    if (!unescape(field.key(), key)) return false;
    keys_.push_back(key);
    if (!member(key, field.value())) return below(key);
  }
  return leave_object(first_key);
}

template <class Element>
bool json_reader::elements(array& a, Element&& element) {
  if (!enter()) return false;
  std::size_t index = 0;
  for (auto next : a) {
    value v;
    if (const auto status = std::move(next).get(v); status != simdjson::SUCCESS) return broken(status);
    if (!element(v)) return below(std::to_string(index));
    ++index;
  }
  --depth_;
  return true;
}

}  // namespace pam::protocol::detail
