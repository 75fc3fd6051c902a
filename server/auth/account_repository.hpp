#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "db/database.hpp"
#include "server/auth/attempt_policy.hpp"
#include "server/auth/error.hpp"
#include "server/auth/session_repository.hpp"
#include "server/auth/types.hpp"

namespace pam::auth {

/// A session about to be written.
struct new_session {
  uuid id{};
  crypto::refresh_token_hash refresh_token{};
  timestamp expires_at{};
  timestamp absolute_expires_at{};
  json_text amr = "[]";
  client_place place;
};

/// An account about to be written, with its claim, its identity and its first session.
struct new_account {
  uuid id{};
  std::string email;  ///< canonical
  std::string hashed_password;
  json_text metadata;
  json_text app_metadata;
  json_text identity_data;
  uuid identity_id{};
  std::string role;
  std::string aud;
  timestamp now{};
  new_session session;
};

/// What sign-in reads before the password is checked.
struct sign_in_row {
  uuid id{};
  std::string hashed_password;  ///< empty when the account has none
  bool is_confirmed = false;
  std::optional<timestamp> banned_until;
  std::optional<timestamp> deleted_at;
  auth::attempts attempts;
};

/// A change of an account by its owner. Absent members stay as they are.
struct account_change {
  std::optional<json_text> metadata_set;
  std::vector<std::string> metadata_removed;
  std::optional<std::string> hashed_password;
};

/// The SQL of `accounts`, `claims` and `identities`.
class account_repository {
 public:
  explicit account_repository(db::database& database) : database_(database) {}

  /// One statement: claim, account, identity, session. The loser of a claim writes nothing.
  /// @return the account as it is stored; nullopt when the address is claimed by another one
  boost::asio::awaitable<result<std::optional<account>>> create(new_account what, async::deadline deadline);

  /// Two single-shard statements, claim then account, as many for an unknown address as for a known one.
  boost::asio::awaitable<result<std::optional<sign_in_row>>> find_for_sign_in(std::string email,
                                                                              async::deadline deadline);

  /// Records the sign-in and writes the session, if the account still has `expected_hash`.
  /// @param new_hash  a stronger hash of the same password, or nullopt
  /// @return nullopt when password, ban or deletion changed meanwhile
  boost::asio::awaitable<result<std::optional<account_session>>> record_sign_in(
      uuid account, std::string expected_hash, std::optional<std::string> new_hash, new_session what,
      timestamp now, async::deadline deadline);

  /// Counts a failed sign-in; the count begins anew after `attempts_memory`. Commits as much for an unknown
  /// account (any id) as for a known one.
  boost::asio::awaitable<result<void>> record_failure(uuid account, timestamp now, async::deadline deadline);

  /// The account with its identities and the caller's session.
  boost::asio::awaitable<result<std::optional<account>>> find(uuid account, async::deadline deadline);

  /// The stored password hash; empty when the account has none, nullopt when there is no account.
  boost::asio::awaitable<result<std::optional<std::string>>> find_password(uuid account,
                                                                           async::deadline deadline);

  /// Changes metadata, if the bearer's session still lives.
  /// @return nullopt when it does not, the account is gone or banned, or the metadata would exceed
  ///         `max_stored_metadata_bytes`
  boost::asio::awaitable<result<std::optional<account>>> update(session_key who, account_change what,
                                                                timestamp now, async::deadline deadline);

  /// The same with a new password, and ends every session but `keep`: one transaction on a lease.
  /// @param expected_hash  guards against a concurrent change; nullopt is returned then, too
  boost::asio::awaitable<result<std::optional<account>>> change_password(session_key keep,
                                                                         account_change what,
                                                                         std::string expected_hash,
                                                                         timestamp now,
                                                                         async::deadline deadline);

  static std::span<const db::statement* const> statements();

 private:
  static db::params update_params(const session_key& who, const account_change& what,
                                  const std::string& expected_hash, timestamp now);

  db::database& database_;
};

}  // namespace pam::auth
