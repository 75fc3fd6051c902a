#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "server/auth/account_repository.hpp"
#include "server/auth/audit_repository.hpp"
#include "server/auth/breach_check.hpp"
#include "server/auth/error.hpp"
#include "server/auth/known_devices.hpp"
#include "server/auth/password_policy.hpp"
#include "server/auth/rate_limiter.hpp"
#include "server/auth/report_repository.hpp"
#include "server/auth/scheme_census.hpp"
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
  /// Attempts by password for one subject on one shard, whether it exists or not: bounds what runs at the
  /// same time, before the account's own count can know of it.
  rate subject_attempts{.burst = 20, .interval = std::chrono::seconds{1}};
  /// Attempts of one known device, and guesses of a signed-in user's current password.
  rate device_attempts{.burst = 10, .interval = std::chrono::minutes{1}};
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
  std::string device;  ///< what the client presents as a known device; empty when nothing
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
  std::string new_device;  ///< for the client to keep; empty when it has one of this account
};

/// What an operator must hear of. Written on the shard, readable from any thread.
struct account_statistics {
  std::atomic<std::uint64_t> unusable_hashes{
      0};                                      ///< stored hashes of an unknown scheme or cost: a bad import
  std::atomic<std::uint64_t> rate_limited{0};  ///< attempts refused at once: too many for one subject
  std::atomic<std::uint64_t> unjudged{
      0};  ///< attempts whose password was not looked at: too soon, or too many
  std::atomic<std::uint64_t> known_devices{0};       ///< sign-ins from a device that was known
  std::atomic<std::uint64_t> uncounted_failures{0};  ///< failed sign-ins whose count could not be written
  std::atomic<std::uint64_t> failures{0};            ///< failed sign-ins, known and unknown subjects
  std::atomic<std::uint64_t> unlogged_failures{0};   ///< of them, left out of the audit log: sampled, or lost
};

/// Accounts: sign-up, sign-in by password, read, change. One object a shard.
/// Shard: called on the shard that owns it. Hashing runs in the pool; no connection is held meanwhile.
class accounts {
 public:
  /// Everything must outlive the object.
  /// @param breaches  null: passwords are held against the built-in list alone
  accounts(db::database& database, crypto::hash_pool& hashes, const crypto::key_ring& keys,
           account_policy policy, session_policy lifetimes, breach_check* breaches = nullptr)
      : repository_(database),
        sessions_(database),
        audit_(database),
        reports_(database),
        hashes_(hashes),
        keys_(keys),
        policy_(std::move(policy)),
        lifetimes_(lifetimes),
        breaches_(breaches) {}

  /// A fresh account id (UUIDv7).
  [[nodiscard]] static uuid new_id();

  /// Creates an account with a confirmed address and signs it in.
  /// Errors: signup_disabled, weak_password, account_exists, overloaded, unavailable. When the outcome is
  /// unknown the account may exist; signing in will tell.
  boost::asio::awaitable<result<grant>> sign_up(sign_up_command what, async::deadline deadline);

  /// Errors: invalid_credentials for every reason a stranger must not tell apart, failed attempts too many
  /// included (attempt_policy.hpp); after a correct password: account_banned, email_not_confirmed;
  /// rate_limited by subject, known or not; overloaded, unavailable. A known device has its own budget.
  boost::asio::awaitable<result<sign_in_outcome>> sign_in(sign_in_command what, async::deadline deadline);

  /// For a request with a password that is refused before it comes here.
  /// @param device  what the client presents as one; empty: none
  /// @return when it shall come back, at least 1 s, as `error::retry_after` of `overloaded`
  std::chrono::seconds send_away(std::string_view device);

  boost::asio::awaitable<result<account>> find(uuid id, async::deadline deadline);

  /// Changes metadata, password, or both at once. A new password ends the other sessions.
  /// Errors: weak_password, same_password, current_password_*, metadata_too_large, conflict.
  boost::asio::awaitable<result<account>> update(session_key who, update_command what,
                                                 async::deadline deadline);

  [[nodiscard]] const account_statistics& stats() const { return statistics_; }
  /// The audit log and the reports, for administrators.
  [[nodiscard]] audit_repository& audit() { return audit_; }
  [[nodiscard]] report_repository& reports() { return reports_; }

 private:
  /// An account whose password the caller knows.
  struct proven_account {
    sign_in_row row;
    bool needs_rehash = false;
    bool is_known_device = false;
  };
  /// `check_password`, and what is known of breaches when the password is acceptable otherwise.
  boost::asio::awaitable<password_verdict> judge_password(crypto::secret password, std::string email,
                                                          async::deadline deadline);
  /// What one attempt is allowed before anything is read.
  struct admission {
    std::optional<auth::device> device;  ///< known, and within its budget
  };

  [[nodiscard]] new_session make_session(const crypto::refresh_token& token, timestamp now, json_text amr,
                                         client_place place) const;
  /// Errors: rate_limited.
  result<admission> admit(const sign_in_command& what, const std::string& email);
  /// Takes one attempt at a subject, whether it exists or not. Errors: rate_limited.
  result<void> take_attempt(std::string_view subject);
  boost::asio::awaitable<result<proven_account>> prove_password(const sign_in_command& what,
                                                                std::string email, std::optional<device> from,
                                                                async::deadline deadline);
  boost::asio::awaitable<void> record_failure(uuid account, uuid subject, client_place place,
                                              async::deadline deadline);
  /// Stands for somebody unknown in the audit log: a keyed hash of what was given, as a UUID of version 8.
  [[nodiscard]] uuid subject_id(std::string_view given) const;
  /// @return nullopt when the stored hash is not the verified one any more
  boost::asio::awaitable<result<std::optional<sign_in_outcome>>> record_sign_in(proven_account found,
                                                                                const sign_in_command& what,
                                                                                async::deadline deadline);
  boost::asio::awaitable<result<std::string>> hash_replacement(session_key who, std::string stored,
                                                               const update_command& what,
                                                               async::deadline deadline);
  boost::asio::awaitable<result<account>> change_password(session_key who, account_change change,
                                                          update_command what, async::deadline deadline);
  boost::asio::awaitable<error> why_unchanged(session_key who, std::optional<std::string> expected_hash,
                                              async::deadline deadline);

  account_repository repository_;
  session_repository sessions_;
  audit_repository audit_;
  report_repository reports_;
  crypto::hash_pool& hashes_;
  const crypto::key_ring& keys_;
  account_policy policy_;
  session_policy lifetimes_;
  breach_check* breaches_;
  rate_limiter attempts_;
  scheme_census census_;
  account_statistics statistics_;
};

}  // namespace pam::auth
