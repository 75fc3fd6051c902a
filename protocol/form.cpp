#include "protocol/form.hpp"

#include <string.h>

#include <algorithm>
#include <utility>

#include <simdjson.h>

namespace pam::protocol {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// Appends the decoded bytes of one name or value. False for what the encoding does not allow.
bool append_decoded(std::string& out, std::string_view encoded) {
  for (std::size_t i = 0; i < encoded.size(); ++i) {
    const char c = encoded[i];
    if (c == '+') {
      out += ' ';
    } else if (c == '%') {
      if (encoded.size() - i < 3) return false;
      const int high = hex_value(encoded[i + 1]);
      const int low = hex_value(encoded[i + 2]);
      if (high < 0 || low < 0) return false;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c > ' ' && c < '\x7F') {
      out += c;
    } else {
      return false;
    }
  }
  return true;
}

bool is_text(std::string_view decoded_text) {
  return decoded_text.find('\0') == std::string_view::npos &&
         simdjson::validate_utf8(decoded_text.data(), decoded_text.size());
}

decode_error refusal(std::string detail) {
  return {&codes::validation_failed, std::move(detail), {}};
}

}  // namespace

form::form(form&& other) noexcept : text_(std::move(other.text_)), members_(std::move(other.members_)) {
  other.wipe();
}

form& form::operator=(form&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  text_ = std::move(other.text_);
  members_ = std::move(other.members_);
  other.wipe();
  return *this;
}

form::~form() {
  wipe();
}

void form::wipe() noexcept {
  text_.resize(text_.capacity());  // never allocates; a short string leaves its bytes behind when moved
  explicit_bzero(text_.data(), text_.size());
  text_.clear();
  members_.clear();
}

std::optional<std::string_view> form::find(std::string_view name) const {
  const auto found = std::find_if(members_.begin(), members_.end(),
                                  [&](const member& each) { return view(each.name) == name; });
  if (found == members_.end() || found->value.size == 0) return std::nullopt;
  return view(found->value);
}

decoded<form> decode_form(std::string_view text) {
  form out;
  out.text_.reserve(text.size());  // decoding never grows a text, so no copy is left in freed memory
  while (!text.empty()) {
    const auto end = std::min(text.find('&'), text.size());
    const auto piece = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (piece.empty()) continue;

    const auto equals = std::min(piece.find('='), piece.size());
    form::member next;
    next.name.begin = out.text_.size();
    bool is_fine = append_decoded(out.text_, piece.substr(0, equals));
    next.name.size = out.text_.size() - next.name.begin;
    next.value.begin = out.text_.size();
    is_fine = is_fine && append_decoded(out.text_, piece.substr(std::min(equals + 1, piece.size())));
    next.value.size = out.text_.size() - next.value.begin;

    if (!is_fine) return refusal("The form must be percent-encoded: % and two hexadecimal digits.");
    if (!is_text(out.view(next.name)) || !is_text(out.view(next.value))) {
      return refusal("The form must decode to UTF-8 without U+0000.");
    }
    const auto has_same_name = [&](const form::member& each) {
      return out.view(each.name) == out.view(next.name);
    };
    if (std::any_of(out.members_.begin(), out.members_.end(), has_same_name)) {
      return refusal("The form must not repeat a member.");
    }
    if (out.members_.size() == max_form_members) {
      return refusal("The form must have at most " + std::to_string(max_form_members) + " members.");
    }
    out.members_.push_back(next);
  }
  return out;
}

}  // namespace pam::protocol
