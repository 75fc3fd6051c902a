#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/auth/types.hpp"
#include "server/crypto/keyed_digest.hpp"

namespace pam::auth {

/// Which share of the accounts that sign in still has an imported hash, and what checking one costs.
///
/// A subject without a usable hash must cost what one with a hash does. Where a third of the accounts has
/// bcrypt, a third of the unknown addresses must cost bcrypt, each address always the same: the choice is a
/// keyed hash of the subject. Every account counts once, however often it is tried, so nobody shifts the
/// share by trying his own. Learned by each shard from what it sees, forgotten at a restart.
/// Pure. Shard: lives on one.
class scheme_census {
 public:
  /// An account was tried, and this is its stored hash.
  void note(const uuid& account, const std::string& stored);

  /// What to check the password of a subject without a usable hash against, the result ignored: an imported
  /// hash seen before, or empty for the pool's own dummy.
  [[nodiscard]] std::string stand_in(std::string_view subject) const;

 private:
  enum class kind : std::uint8_t { unknown, own, imported };
  static constexpr std::size_t slots = 16'384;  ///< a byte each; the share is known to half of 1/sqrt(slots)

  [[nodiscard]] std::uint64_t number_of(std::string_view text) const;

  crypto::keyed_digest digest_;
  std::array<kind, slots> seen_{};
  std::size_t own_ = 0;
  std::size_t imported_ = 0;
  std::string sample_;
};

}  // namespace pam::auth
