#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace pam::protocol {

/// Appends one JSON text to a string, as short as JSON allows: no blanks, and of the characters only
/// `"`, `\` and those below U+0020 escaped (RFC 8259 section 7).
///
/// Commas are its business, the order of the calls is the caller's: a key before every value inside an
/// object, no key elsewhere, every begin with its end. Strings are valid UTF-8 (what came through a
/// decoder or PostgreSQL is). The string outlives the writer. Nothing throws but the string's own growth.
class json_writer {
 public:
  explicit json_writer(std::string& out) : out_(out) {}

  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }

  void key(std::string_view name);

  void text(std::string_view value);
  void integer(std::int64_t value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  void null() { raw("null"); }
  /// A value that is JSON already.
  void raw(std::string_view json);

  void member(std::string_view name, std::string_view value) {
    key(name);
    text(value);
  }

  /// Bytes in the string now, those that stood there before included.
  [[nodiscard]] std::size_t size() const { return out_.size(); }

 private:
  void open(char bracket);
  void close(char bracket);
  void separate();
  void quoted(std::string_view value);

  std::string& out_;
  bool needs_comma_ = false;
};

}  // namespace pam::protocol
