#include "server/auth/email_address.hpp"

#include <idn2.h>
#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include <algorithm>
#include <memory>
#include <optional>

namespace pam::auth {

namespace {

using outcome = boost::system::result<std::string, subject_error>;

constexpr std::size_t max_domain_bytes = 253;  // RFC 1035 section 2.3.4, in text form
constexpr std::size_t max_label_bytes = 63;

constexpr subject_error empty{subject_fault::empty, "An email address is required."};
constexpr subject_error too_long{subject_fault::too_long,
                                 "An email address has at most 255 bytes, 64 before the @."};
constexpr subject_error bad_encoding{subject_fault::encoding,
                                     "The email address has invalid UTF-8 or invisible characters."};
constexpr subject_error bad_syntax{subject_fault::syntax, "An email address has the form name@example.com."};
constexpr subject_error bad_domain{subject_fault::domain,
                                   "The part after the @ is not a domain name that can receive mail."};

struct freed {
  void operator()(void* memory) const { std::free(memory); }
};

const std::uint8_t* octets(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view white = " \t\r\n\f\v";
  const auto first = text.find_first_not_of(white);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(white) - first + 1);
}

/// Lower case and NFC together; context rules (final sigma) included, no language's special ones.
std::optional<std::string> lower_nfc(std::string_view text) {
  std::size_t length = 0;
  const std::unique_ptr<std::uint8_t, freed> lower{
      u8_tolower(octets(text), text.size(), "", UNINORM_NFC, nullptr, &length)};
  if (!lower) return std::nullopt;
  return std::string{reinterpret_cast<const char*>(lower.get()), length};
}

/// Every code point is one a reader can see: no control, format, private, unassigned or foreign space
/// character (bidirectional overrides and zero-width characters make one address look like another).
/// A plain space is visible enough; the syntax refuses it.
bool is_visible(std::string_view text) {
  const std::uint8_t* at = octets(text);
  std::size_t left = text.size();
  const uc_general_category_t hidden = uc_general_category_or(UC_CATEGORY_C, UC_CATEGORY_Z);
  while (left > 0) {
    ucs4_t code_point = 0;
    const int width = u8_mbtouc(&code_point, at, left);
    if (code_point != ' ' && uc_is_general_category(code_point, hidden)) return false;
    at += width;
    left -= static_cast<std::size_t>(width);
  }
  return true;
}

bool is_dot_atom(std::string_view local) {
  constexpr std::string_view specials = "!#$%&'*+-/=?^_`{|}~";
  const auto is_atext = [specials](char c) {
    const bool is_alphanumeric = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    return is_alphanumeric || static_cast<unsigned char>(c) >= 0x80 ||
           specials.find(c) != std::string_view::npos;
  };
  return !local.starts_with('.') && !local.ends_with('.') && local.find("..") == std::string_view::npos &&
         std::ranges::all_of(local, [&is_atext](char c) { return c == '.' || is_atext(c); });
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= max_label_bytes && !label.starts_with('-') &&
         !label.ends_with('-') && std::ranges::all_of(label, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
         });
}

bool is_host_name(std::string_view name) {
  if (name.size() > max_domain_bytes) return false;
  std::size_t labels = 0;
  std::string_view last;
  for (std::size_t from = 0; from <= name.size(); from += last.size() + 1) {
    last = name.substr(from, name.find('.', from) - from);
    if (!is_label(last)) return false;
    ++labels;
  }
  // RFC 3696 section 2: a top level is never all digits; without this, 10.0.0.1 would be a domain.
  return labels >= 2 && !std::ranges::all_of(last, [](char c) { return c >= '0' && c <= '9'; });
}

/// The domain in A-labels, or nothing.
std::optional<std::string> ascii_domain(const std::string& domain) {
  std::uint8_t* found = nullptr;
  const int status = idn2_lookup_u8(octets(domain.c_str()), &found, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  if (status != IDN2_OK) return std::nullopt;
  std::string ascii{reinterpret_cast<const char*>(found)};
  idn2_free(found);
  if (!is_host_name(ascii)) return std::nullopt;
  return ascii;
}

}  // namespace

outcome canonical_email(std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return empty;
  // Before any work; lower-casing and NFC may still make it longer, hence again below.
  if (text.size() > max_email_bytes) return too_long;
  if (u8_check(octets(text), text.size()) != nullptr) return bad_encoding;
  const auto lower = lower_nfc(text);
  if (!lower || !is_visible(*lower)) return bad_encoding;
  const auto at = lower->rfind('@');
  if (at == std::string::npos || at == 0 || at + 1 == lower->size()) return bad_syntax;
  const std::string local = lower->substr(0, at);
  if (!is_dot_atom(local)) return bad_syntax;
  if (local.size() > max_local_part_bytes) return too_long;
  const auto domain = ascii_domain(lower->substr(at + 1));
  if (!domain) return bad_domain;
  std::string canonical = local + "@" + *domain;
  if (canonical.size() > max_email_bytes) return too_long;
  return canonical;
}

}  // namespace pam::auth
