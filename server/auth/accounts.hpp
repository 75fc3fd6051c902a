#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "server/auth/account_repository.hpp"
#include "server/auth/error.hpp"
#include "server/auth/password_policy.hpp"
#include "server/auth/sessions.hpp"
#include "server/auth/types.hpp"
#include "server/crypto/hash_pool.hpp"
#include "server/crypto/key_ring.hpp"
#include "server/crypto/secret.hpp"

namespace pam::auth {

struct account_policy {
  bool is_signup_enabled = true;
  bool must_confirm_current_password = false;  ///< PUT /user with a password asks for the current one
  std::string role = "authenticated";
  std::string audience = "authenticated";
  auth::password_policy password;
};

/// Makes the JSON an account starts with; given by the caller, so that the domain sees no JSON.
struct sign_up_documents {
  json_text metadata;
  json_text app_metadata;
  json_text identity_data;
  json_text amr;
};

struct sign_up_command {
  uuid account{};     ///< made by the caller, as the documents name it: crypto::uuid_v7
  std::string email;  ///< canonical
  crypto::secret password;
  sign_up_documents documents;
  client_place place;
};

struct sign_in_command {
  std::string email;  ///< as the client sent it
  crypto::secret password;
  json_text amr;
  client_place place;
};

struct update_command {
  std::optional<json_text> metadata_set;
  std::vector<std::string> metadata_removed;
  std::optional<crypto::secret> password;
  std::optional<crypto::secret> current_password;
};

/// A sign-in that worked, and what is advised about its password.
struct sign_in_outcome {
  auth::grant grant;
  std::vector<std::string_view> weak_password_reasons;
};

/// Accounts: sign-up, sign-in by password, read, change. One object a shard.
/// Shard: called on the shard that owns it. Hashing runs in the pool; no connection is held meanwhile.
class accounts {
 public:
  /// Everything must outlive the object.
  accounts(db::database& database, crypto::hash_pool& hashes, const crypto::key_ring& keys,
           account_policy policy, session_policy lifetimes)
      : repository_(database),
        hashes_(hashes),
        keys_(keys),
        policy_(std::move(policy)),
        lifetimes_(lifetimes) {}

  /// A fresh account id (UUIDv7).
  [[nodiscard]] static uuid new_id();

  /// Creates an account with a confirmed address and signs it in.
  /// Errors: signup_disabled, weak_password, account_exists, overloaded, unavailable. When the outcome is
  /// unknown the account may exist; signing in will tell.
  boost::asio::awaitable<result<grant>> sign_up(sign_up_command what, async::deadline deadline);

  /// Errors: invalid_credentials for every reason a stranger must not tell apart; after a correct
  /// password: account_banned, email_not_confirmed; overloaded, unavailable.
  boost::asio::awaitable<result<sign_in_outcome>> sign_in(sign_in_command what, async::deadline deadline);

  boost::asio::awaitable<result<account>> find(uuid id, async::deadline deadline);

  /// Changes metadata, password, or both at once. A new password ends the other sessions.
  /// Errors: weak_password, same_password, current_password_*, metadata_too_large, conflict.
  boost::asio::awaitable<result<account>> update(session_key who, update_command what,
                                                 async::deadline deadline);

 private:
  [[nodiscard]] new_session make_session(const crypto::refresh_token& token, timestamp now, json_text amr,
                                         client_place place) const;
  boost::asio::awaitable<result<sign_in_outcome>> finish_sign_in(sign_in_row found, sign_in_command what,
                                                                 bool needs_rehash, async::deadline deadline);
  boost::asio::awaitable<result<std::string>> hash_replacement(std::string stored, update_command& what,
                                                               std::string email, async::deadline deadline);

  account_repository repository_;
  crypto::hash_pool& hashes_;
  const crypto::key_ring& keys_;
  account_policy policy_;
  session_policy lifetimes_;
};

}  // namespace pam::auth
