#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/decode_error.hpp"

namespace pam::protocol {

inline constexpr std::size_t max_form_members = 64;

/// A decoded form or query. Forms carry client secrets and tokens: the text is wiped when the form dies.
/// Move-only; views stay valid as long as the form is neither moved nor destroyed.
class form {
 public:
  form() = default;
  form(form&& other) noexcept;
  form& operator=(form&& other) noexcept;
  form(const form&) = delete;
  form& operator=(const form&) = delete;
  ~form();

  /// Value of a member; nullopt when it is absent or empty, which mean the same (RFC 6749 section 3.2).
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const;
  /// Members with a name and a value.
  [[nodiscard]] std::size_t size() const { return members_.size(); }

 private:
  friend decoded<form> decode_form(std::string_view text);
  struct span {
    std::size_t begin = 0;
    std::size_t size = 0;
  };
  struct member {
    span name;
    span value;
  };
  [[nodiscard]] std::string_view view(span part) const { return {text_.data() + part.begin, part.size}; }
  void wipe() noexcept;

  std::string text_;  ///< names and values, decoded, one after the other
  std::vector<member> members_;
};

/// Decodes application/x-www-form-urlencoded (WHATWG URL section 5.1): `+` is a blank, `%XX` a byte, blank
/// members (`a=1&&b=2`) are skipped. Strict where leniency hides attacks: `validation_failed` for a `%`
/// without two hex digits, a byte that must be encoded (controls, blank, not ASCII), decoded text that is
/// no valid UTF-8 or holds U+0000, a name that comes twice (RFC 6749 section 3.2), and more than
/// `max_form_members` members. Values are never repeated in the error.
[[nodiscard]] decoded<form> decode_form(std::string_view text);

}  // namespace pam::protocol
