#include "server/auth/password_policy.hpp"

#include <unicase.h>
#include <unictype.h>
#include <uninorm.h>
#include <unistr.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <initializer_list>
#include <string>

#include "server/auth/common_passwords.hpp"

namespace pam::auth {

namespace {

static_assert(std::ranges::is_sorted(common_passwords), "the block list is searched by halves");

constexpr std::size_t max_suffix = 4;        ///< "summer2026!": what people append to a word
constexpr std::size_t max_repeated = 4;      ///< "abcdabcd" is no longer than "abcd"
constexpr std::size_t min_context_word = 3;  ///< shorter ones stand in any text
constexpr std::size_t min_beside_context = 4;

const std::uint8_t* octets(std::string_view text) {
  return reinterpret_cast<const std::uint8_t*>(text.data());
}

/// Text derived from a password; wiped like one. Never grows after it was made.
struct scratch {
  explicit scratch(std::string_view from) : text(from) {}
  ~scratch() { crypto::wipe(text.data(), text.capacity()); }
  scratch(const scratch& other) = default;
  scratch& operator=(const scratch&) = delete;
  std::string text;
};

/// Takes what a libunistring function returned; `otherwise` when it failed.
crypto::secret taken(std::uint8_t* made, std::size_t length, std::string_view otherwise) {
  if (made == nullptr) return crypto::secret{otherwise};
  crypto::secret result{std::string_view{reinterpret_cast<const char*>(made), length}};
  crypto::wipe(made, length);
  std::free(made);
  return result;
}

bool is_utf8(std::string_view text) {
  return u8_check(octets(text), text.size()) == nullptr;
}
std::size_t code_points(std::string_view text) {
  return u8_mbsnlen(octets(text), text.size());
}

bool has_control_characters(std::string_view text) {
  const std::uint8_t* at = octets(text);
  std::size_t left = text.size();
  while (left > 0) {
    ucs4_t code_point = 0;
    const auto width = static_cast<std::size_t>(u8_mbtouc(&code_point, at, left));
    if (uc_is_general_category(code_point, UC_CATEGORY_Cc)) return true;
    at += width;
    left -= width;
  }
  return false;
}

bool is_listed(std::string_view lower) {
  return std::ranges::binary_search(common_passwords, lower);
}

/// Digits and signs that stand for letters; `one` is what a 1 is read as.
scratch without_leet(std::string_view lower, char one) {
  scratch plain{lower};
  for (char& each : plain.text) {
    switch (each) {
      case '0':
        each = 'o';
        break;
      case '1':
        each = one;
        break;
      case '3':
        each = 'e';
        break;
      case '4':
      case '@':
        each = 'a';
        break;
      case '5':
      case '$':
        each = 's';
        break;
      case '7':
        each = 't';
        break;
      case '!':
        each = 'i';
        break;
      default:
        break;
    }
  }
  return plain;
}

bool is_common_word(std::string_view lower) {
  return is_listed(lower) || is_listed(without_leet(lower, 'l').text) ||
         is_listed(without_leet(lower, 'i').text);
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || static_cast<unsigned char>(c) >= 0x80;
}

/// Calls `found` with the text and with up to max_suffix digits and signs taken off its end.
template <class Found>
bool any_stem(std::string_view lower, const Found& found) {
  for (std::size_t cut = 0; cut <= max_suffix && cut < lower.size(); ++cut) {
    if (cut > 0 && is_letter(lower[lower.size() - cut])) return false;
    if (found(lower.substr(0, lower.size() - cut))) return true;
  }
  return false;
}

/// One short block again and again, or neighbours of the code table up or down: "aaaa", "abab", "4321".
bool is_pattern(std::string_view lower) {
  for (std::size_t block = 1; block <= max_repeated && block * 2 <= lower.size(); ++block) {
    if (std::equal(lower.begin() + static_cast<std::ptrdiff_t>(block), lower.end(), lower.begin()))
      return true;
  }
  for (const int step : {1, -1}) {
    const auto breaks = [step](char a, char b) { return b - a != step; };
    if (lower.size() > 1 && std::ranges::adjacent_find(lower, breaks) == lower.end()) return true;
  }
  return false;
}

/// Common with what people do to it: another spelling, a suffix, twice.
bool is_common(std::string_view lower) {
  const std::string_view half = lower.substr(0, lower.size() / 2);
  const bool is_doubled = lower.size() % 2 == 0 && half == lower.substr(half.size());
  return any_stem(lower, is_common_word) || (is_doubled && is_common_word(half)) || is_pattern(lower);
}

/// The words an attacker knows about this account: local part, its pieces, the domain's labels, our name.
std::vector<std::string_view> context_words(std::string_view email) {
  constexpr std::string_view separators = "@.+-_";
  std::vector<std::string_view> words{"pam"};
  const auto at = email.rfind('@');
  if (at != std::string_view::npos) words.push_back(email.substr(0, at));
  words.push_back(email);
  while (!email.empty()) {
    const auto length = std::min(email.find_first_of(separators), email.size());
    words.push_back(email.substr(0, length));
    email.remove_prefix(std::min(length + 1, email.size()));
  }
  // The longest first: what is left beside "anna.schmidt" counts, not what is left beside "anna".
  std::ranges::sort(words, std::ranges::greater{}, &std::string_view::size);
  std::erase_if(words, [](std::string_view word) { return word.size() < min_context_word; });
  return words;
}

/// Little or nothing but a common word stands beside what is known about the account.
bool is_about_account(std::string_view lower, std::string_view email) {
  scratch rest{lower};
  for (const std::string_view word : context_words(email)) {
    for (auto at = rest.text.find(word); at != std::string::npos; at = rest.text.find(word)) {
      rest.text.erase(at, word.size());
    }
  }
  if (rest.text.size() == lower.size()) return false;
  const auto is_little = [](std::string_view stem) { return code_points(stem) < min_beside_context; };
  return rest.text.empty() || any_stem(rest.text, is_little) || is_common(rest.text);
}

bool is_guessed_first(const crypto::secret& normalized, std::string_view email) {
  std::size_t length = 0;
  const std::string_view text = normalized.view();
  std::uint8_t* const made = u8_tolower(octets(text), text.size(), "", UNINORM_NFC, nullptr, &length);
  const crypto::secret lower = taken(made, length, text);
  return is_common(lower.view()) || is_about_account(lower.view(), email);
}

}  // namespace

crypto::secret normalize_password(std::string_view password) {
  // Without this bound a body of any size would be normalised; such a password was never accepted.
  if (password.size() > max_password_bytes || !is_utf8(password)) return crypto::secret{password};
  std::size_t length = 0;
  std::uint8_t* const made = u8_normalize(UNINORM_NFC, octets(password), password.size(), nullptr, &length);
  return taken(made, length, password);
}

password_verdict check_password(std::string_view password, std::string_view email,
                                const password_policy& policy) {
  password_verdict verdict;
  verdict.normalized = normalize_password(password);
  const std::string_view text = verdict.normalized.view();
  const bool is_too_long = std::max(password.size(), text.size()) > max_password_bytes;
  if (is_too_long || code_points(text) < policy.min_length) verdict.reasons.push_back("length");
  if (is_too_long) return verdict;
  if (!is_utf8(text) || has_control_characters(text)) {
    verdict.reasons.push_back("characters");
    return verdict;
  }
  if (!text.empty() && is_guessed_first(verdict.normalized, email)) verdict.reasons.push_back("pwned");
  return verdict;
}

}  // namespace pam::auth
