#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/crypto/digest.hpp"

namespace pam::runtime {

/// Most hashes of one answer; real ones have a thousand.
inline constexpr std::size_t max_breach_entries = 16'384;

/// The stolen passwords whose SHA-1 begins with the same five hexadecimal digits.
class breach_range {
 public:
  /// Reads an answer of the range API: a line "SUFFIX:COUNT" each, 35 hexadecimal digits of either case. An
  /// entry that was never seen (count 0) is padding and left out.
  /// @return nullopt for anything else, or more than `max_breach_entries` lines
  [[nodiscard]] static std::optional<breach_range> parse(std::string_view body);

  [[nodiscard]] bool contains(const crypto::sha1_digest& of) const;
  [[nodiscard]] std::size_t size() const { return suffixes_.size(); }

 private:
  /// The 64 bits behind the prefix, sorted: with it 84 of the hash's 160, so that a password is taken for
  /// another one less than once in 10^15 questions.
  std::vector<std::uint64_t> suffixes_;
};

/// The five digits that are sent, in upper case.
[[nodiscard]] std::string breach_prefix(const crypto::sha1_digest& of);

}  // namespace pam::runtime
