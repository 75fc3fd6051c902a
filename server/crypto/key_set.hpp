#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/crypto/error.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/secret.hpp"

namespace pam::crypto {

/// What may be said about one key of a file.
struct key_facts {
  std::string use;
  std::string state;
  std::string kid;
  std::string algorithm;                   ///< "ES256", ...; "HMAC-SHA256" for a refresh key
  std::optional<std::int64_t> created;     ///< Unix seconds, where the file says it
  std::optional<std::int64_t> signs_from;  ///< of a next key
  std::optional<std::int64_t> retired;     ///< of a previous key: when it stopped signing
};

/// Which keys `rotate` replaces.
struct rotation {
  std::chrono::sys_seconds now;
  /// From the publication of a key to its first signature. Every process must load the file within it.
  std::chrono::seconds lead = std::chrono::minutes{20};
  std::vector<std::string> uses{"user", "machine", "refresh"};
  /// Only keys that have signed this long are replaced.
  std::chrono::seconds min_age{0};
};

/// How long retired keys must verify.
struct retention {
  std::chrono::seconds signing = std::chrono::hours{25};        ///< the longest access token, and an hour
  std::chrono::seconds machine = std::chrono::hours{24 * 366};  ///< the longest machine token, and a day
  std::chrono::seconds refresh = std::chrono::hours{24 * 31};   ///< the idle lifetime, and a day
};

/// A key file as its operator changes it: the members of every key are kept as they are, those that say
/// where the key stands in its life are edited. Holds private keys; wiped when it dies.
class key_set {
 public:
  /// `bad_key` for whatever key_ring::parse() refuses.
  static result<key_set> parse(std::string_view jwk_set);

  /// The text of the file, which key_ring::parse() accepts.
  [[nodiscard]] secret text() const;
  [[nodiscard]] std::vector<key_facts> facts() const;

  /// Writes down what time has done: a next key whose moment has come is current, the one before it
  /// previous. rotate() and prune() begin with it.
  void settle(std::chrono::sys_seconds now);
  /// Adds a next key for each use that has none waiting, of the current one's algorithm, which begins to
  /// sign `lead` from now. @return the kids of the new keys
  result<std::vector<std::string>> rotate(const rotation& how);
  /// Removes previous keys that nothing alive was signed with any more, and private members of those that
  /// stay: they only verify. @return the kids that are gone. A previous key without `pam_retired` stays.
  std::vector<std::string> prune(std::chrono::sys_seconds now, const retention& keep);

 private:
  struct entry {
    std::vector<std::pair<std::string, secret>> members;  ///< name, JSON text of the value
    [[nodiscard]] std::string text_of(std::string_view name) const;
    [[nodiscard]] std::optional<std::int64_t> number_of(std::string_view name) const;
    void set(std::string_view name, std::string json);
    void remove(std::string_view name);
    [[nodiscard]] bool is(std::string_view use, std::string_view state) const;
  };
  static result<std::vector<entry>> read(std::string_view jwk_set);
  [[nodiscard]] entry* find(std::string_view use, std::string_view state);

  std::vector<entry> keys_;
};

}  // namespace pam::crypto
