#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>

#include "server/auth/sessions.hpp"
#include "server/crypto/keyed_digest.hpp"

namespace pam::auth {

/// Remembers access tokens whose signature and claims were good, so that the next request of the same
/// token saves the verification (an ES256 one costs more CPU than the rest of a read). Signature, issuer
/// and audience of a token never change; its expiry is checked each time; session and account are read
/// from the database each time by the caller, as ever.
/// Bounded: 96 bytes a place, a set of four places for each token; the one that expires first gives way. A
/// token lives on until it expires although its session has a newer one, so there should be three places for
/// each user. Memory of places never used is not resident.
/// Whoever exchanges keys forgets everything: `epoch` is the key ring's, read before the token is looked at.
/// Shard: lives on one; `stats()` may be read from any thread. Belongs to one key ring and one policy.
class verified_tokens {
 public:
  static constexpr std::size_t default_places = 32'768;

  /// @param places  rounded up to a power of two
  explicit verified_tokens(std::size_t places = default_places);
  ~verified_tokens();
  verified_tokens(const verified_tokens&) = delete;
  verified_tokens& operator=(const verified_tokens&) = delete;

  /// Whom the token speaks for, when it was kept and has not expired at `now` (Unix seconds).
  [[nodiscard]] std::optional<bearer> find(std::string_view token, std::int64_t now, std::uint64_t epoch = 0);
  /// @param expires_at  the token's `exp`; without one (0) it is not kept
  /// @param epoch       what find() was given; when the keys have changed since, nothing is kept
  void keep(std::string_view token, const bearer& who, std::int64_t expires_at, std::uint64_t epoch = 0);

  struct statistics {
    std::atomic<std::uint64_t> known{0};
    std::atomic<std::uint64_t> unknown{0};
  };
  [[nodiscard]] const statistics& stats() const { return statistics_; }

 private:
  struct place;
  struct release {
    void operator()(place* all) const { std::free(all); }
  };
  [[nodiscard]] place* set_of(const crypto::keyed_digest::value& name) const;

  crypto::keyed_digest digest_;
  std::size_t sets_;
  std::unique_ptr<place[], release> places_;
  std::uint64_t epoch_ = 0;
  statistics statistics_;
};

}  // namespace pam::auth
