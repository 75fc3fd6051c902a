#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/crypto/digest.hpp"
#include "server/crypto/secret.hpp"

namespace pam::auth {

/// One client of the OAuth 2.0 endpoints that is known by configuration. Only the SHA-256 of its secret is
/// there: secrets are made by `pam-auth client` from 256 random bits, so a fast hash is enough.
struct oauth_client {
  std::string id;
  crypto::sha256_digest secret_hash{};
};

/// Reads "id:sha256:" and 64 lower-case hexadecimal digits; nullopt for anything else. An id is 1 to 64 of
/// the characters A-Z a-z 0-9 . _ -
[[nodiscard]] std::optional<oauth_client> parse_oauth_client(std::string_view entry);
/// The entry for the configuration.
[[nodiscard]] std::string to_entry(std::string_view id, const crypto::secret& secret);
/// A fresh secret: 32 random bytes as lower-case hexadecimal digits.
[[nodiscard]] crypto::secret new_client_secret();

class oauth_clients {
 public:
  /// Entries that do not parse are left out: the configuration refuses them before.
  explicit oauth_clients(const std::vector<std::string>& entries);

  /// The client's id when id and secret belong together. An unknown id costs what a known one does.
  [[nodiscard]] std::optional<std::string> authenticate(std::string_view id, std::string_view secret) const;

 private:
  std::vector<oauth_client> clients_;
};

}  // namespace pam::auth
