#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include <boost/uuid/uuid.hpp>

#include "server/crypto/key_ring.hpp"

namespace pam::load {

/// One account of a population with the session it starts with.
struct seat {
  std::uint32_t index = 0;
  boost::uuids::uuid account{};
  boost::uuids::uuid session{};
  boost::uuids::uuid identity{};
  std::array<std::byte, 16> salt{};
  std::string email;
};

/// Every user of a run, computed from its number: whoever seeds the tables and whoever plays the users
/// agree without a file between them. Ids are UUIDv7 of the epoch and after, as the server would make them.
class population {
 public:
  /// @param epoch  of the run; sessions lie in the partition of its month
  /// @param keys   the server's own, so that seeded users are signed in; must outlive this
  population(std::chrono::milliseconds epoch, const crypto::key_ring& keys, std::string issuer);

  [[nodiscard]] seat at(std::uint32_t index) const;
  /// The refresh token of generation 0 that the seeded row expects.
  [[nodiscard]] crypto::refresh_token first_token(const seat& of) const;
  /// An access token of the seeded session.
  [[nodiscard]] std::string access_token(const seat& of, std::chrono::seconds issued,
                                         std::chrono::seconds lifetime) const;
  /// What the server would have given a device at which the account has signed in.
  [[nodiscard]] std::string device(const boost::uuids::uuid& account) const;

  /// The password of every seeded account: one hash for all, or seeding 200,000 would take an hour.
  static constexpr char password[] = "Swarm-5d1e-of-users";

 private:
  std::uint64_t epoch_;
  const crypto::key_ring& keys_;
  std::string issuer_;
};

/// What sign-up would have stored beside the account.
[[nodiscard]] std::string user_metadata_of(const seat& of);

[[nodiscard]] std::string to_text(const boost::uuids::uuid& id);
[[nodiscard]] std::string to_hex(const std::byte* bytes, std::size_t count);

}  // namespace pam::load
