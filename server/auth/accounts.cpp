#include "server/auth/accounts.hpp"

#include <utility>

#include "server/auth/email_address.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

error failed(errc code) {
  error failure;
  failure.code = code;
  return failure;
}

error weak(std::vector<std::string_view> reasons) {
  error failure = failed(errc::weak_password);
  failure.reasons = std::move(reasons);
  return failure;
}

constexpr std::size_t max_user_agent_bytes = 512;

}  // namespace

uuid accounts::new_id() {
  return crypto::uuid_v7(std::chrono::system_clock::now());
}

new_session accounts::make_session(const crypto::refresh_token& token, timestamp now, json_text amr,
                                   client_place place) const {
  new_session made;
  made.id = token.session;
  made.refresh_token = crypto::hash_of(token);
  made.absolute_expires_at = now + lifetimes_.absolute_lifetime;
  made.expires_at = std::min<timestamp>(now + lifetimes_.idle_lifetime, made.absolute_expires_at);
  made.amr = std::move(amr);
  made.place = std::move(place);
  if (made.place.user_agent.size() > max_user_agent_bytes) made.place.user_agent.resize(max_user_agent_bytes);
  return made;
}

boost::asio::awaitable<result<grant>> accounts::sign_up(sign_up_command what, async::deadline deadline) {
  if (!policy_.is_signup_enabled) co_return failed(errc::signup_disabled);
  auto checked = check_password(what.password.view(), what.email, policy_.password);
  if (!checked.reasons.empty()) co_return weak(std::move(checked.reasons));

  // A taken address is found out by the statement, after the hash: both cases cost the same.
  auto hashed = co_await hashes_.hash(std::move(checked.normalized), deadline);
  if (hashed.has_error()) co_return from_crypto(hashed.error());

  const timestamp now = clock_now();
  crypto::refresh_token token = keys_.first_refresh_token(what.account, crypto::uuid_v7(now));
  new_account row;
  row.id = what.account;
  row.email = what.email;
  row.hashed_password = std::move(*hashed);
  row.metadata = std::move(what.documents.metadata);
  row.app_metadata = std::move(what.documents.app_metadata);
  row.identity_data = std::move(what.documents.identity_data);
  row.identity_id = crypto::uuid_v7(now);
  row.role = policy_.role;
  row.aud = policy_.audience;
  row.now = now;
  row.session = make_session(token, now, what.documents.amr, std::move(what.place));

  auto is_owner = co_await repository_.create(std::move(row), deadline);
  if (is_owner.has_error()) co_return is_owner.error();
  if (!*is_owner) co_return failed(errc::account_exists);

  // Read back rather than assembled: the answer is what the database holds.
  auto created = co_await repository_.find(what.account, deadline);
  if (created.has_error()) co_return created.error();
  if (!created->has_value()) co_return failed(errc::conflict);
  grant granted;
  granted.account = std::move(**created);
  granted.session.id = token.session;
  granted.session.created_at = now;
  granted.session.refreshed_at = now;
  granted.session.amr = std::move(what.documents.amr);
  granted.refresh_token = token;
  co_return granted;
}

boost::asio::awaitable<result<sign_in_outcome>> accounts::sign_in(sign_in_command what,
                                                                  async::deadline deadline) {
  // An address that cannot exist takes the same road as one that does not.
  auto canonical = canonical_email(what.email);
  const std::string email = canonical.has_value() ? *canonical : std::string{};
  auto found = co_await repository_.find_for_sign_in(email, deadline);
  if (found.has_error()) co_return found.error();

  sign_in_row row;
  if (found->has_value()) {
    row = std::move(**found);
  } else {
    row.id = crypto::uuid_v4();
  }
  const bool may_match = !row.hashed_password.empty() && !row.deleted_at;
  auto normalized = normalize_password(what.password.view());
  auto verified = co_await hashes_.verify(std::move(normalized),
                                          may_match ? row.hashed_password : std::string{}, deadline);
  if (verified.has_error() && verified.error().code != crypto::errc::bad_hash) {
    co_return from_crypto(verified.error());
  }
  if (verified.has_error() || !verified->matches || !may_match) {
    auto counted = co_await repository_.record_failure(row.id, clock_now(), deadline);
    if (counted.has_error()) co_return counted.error();
    co_return failed(errc::invalid_credentials);
  }
  // Only who knows the password learns of a ban or a missing confirmation.
  if (row.banned_until && *row.banned_until > clock_now()) co_return failed(errc::account_banned);
  if (!row.is_confirmed) co_return failed(errc::email_not_confirmed);
  const bool needs_rehash = verified->needs_rehash;
  co_return co_await finish_sign_in(std::move(row), std::move(what), needs_rehash, deadline);
}

boost::asio::awaitable<result<sign_in_outcome>> accounts::finish_sign_in(sign_in_row found,
                                                                         sign_in_command what,
                                                                         bool needs_rehash,
                                                                         async::deadline deadline) {
  std::optional<std::string> new_hash;
  if (needs_rehash) {
    auto stronger = co_await hashes_.hash(normalize_password(what.password.view()), deadline);
    // A busy pool is no reason to refuse a sign-in that has succeeded; the next one upgrades the hash.
    if (stronger.has_value()) new_hash = std::move(*stronger);
  }
  const timestamp now = clock_now();
  crypto::refresh_token token = keys_.first_refresh_token(found.id, crypto::uuid_v7(now));
  auto row = co_await repository_.record_sign_in(
      found.id, std::move(found.hashed_password), std::move(new_hash),
      make_session(token, now, std::move(what.amr), std::move(what.place)), now, deadline);
  if (row.has_error()) co_return row.error();
  if (!row->has_value()) co_return failed(errc::invalid_credentials);  // changed while we were hashing

  sign_in_outcome outcome;
  outcome.grant.account = std::move((*row)->account);
  outcome.grant.session = std::move((*row)->session);
  outcome.grant.refresh_token = token;
  auto advice = check_password(what.password.view(), outcome.grant.account.email, policy_.password);
  outcome.weak_password_reasons = std::move(advice.reasons);
  co_return outcome;
}

boost::asio::awaitable<result<account>> accounts::find(uuid id, async::deadline deadline) {
  auto found = co_await repository_.find(id, deadline);
  if (found.has_error()) co_return found.error();
  if (!found->has_value()) co_return failed(errc::account_not_found);
  co_return std::move(**found);
}

boost::asio::awaitable<result<std::string>> accounts::hash_replacement(std::string stored,
                                                                       update_command& what,
                                                                       std::string email,
                                                                       async::deadline deadline) {
  if (policy_.must_confirm_current_password && !stored.empty() && !what.current_password) {
    co_return failed(errc::current_password_required);
  }
  if (what.current_password) {
    auto proof = co_await hashes_.verify(normalize_password(what.current_password->view()), stored, deadline);
    if (proof.has_error()) co_return from_crypto(proof.error());
    if (!proof->matches) co_return failed(errc::current_password_invalid);
  }
  auto checked = check_password(what.password->view(), email, policy_.password);
  if (!checked.reasons.empty()) co_return weak(std::move(checked.reasons));
  if (!stored.empty()) {
    auto same = co_await hashes_.verify(checked.normalized.clone(), stored, deadline);
    if (same.has_error() && same.error().code != crypto::errc::bad_hash) co_return from_crypto(same.error());
    if (same.has_value() && same->matches) co_return failed(errc::same_password);
  }
  auto hashed = co_await hashes_.hash(std::move(checked.normalized), deadline);
  if (hashed.has_error()) co_return from_crypto(hashed.error());
  co_return std::move(*hashed);
}

boost::asio::awaitable<result<account>> accounts::update(session_key who, update_command what,
                                                         async::deadline deadline) {
  account_change change;
  std::string stored;
  if (what.password) {
    auto current = co_await find(who.account, deadline);
    if (current.has_error()) co_return current.error();
    auto hash = co_await repository_.find_password(who.account, deadline);
    if (hash.has_error()) co_return hash.error();
    if (!hash->has_value()) co_return failed(errc::account_not_found);
    stored = std::move(**hash);
    auto replacement = co_await hash_replacement(stored, what, current->email, deadline);
    if (replacement.has_error()) co_return replacement.error();
    change.hashed_password = std::move(*replacement);
  }
  const bool is_password_change = what.password.has_value();
  const std::string expected_hash = stored;
  change.metadata_set = std::move(what.metadata_set);
  change.metadata_removed = std::move(what.metadata_removed);
  const timestamp now = clock_now();
  auto updated = co_await repository_.update(who, std::move(change), std::move(stored),
                                             now - lifetimes_.absolute_lifetime, now, deadline);
  if (updated.has_error()) co_return updated.error();
  if (updated->has_value()) co_return std::move(**updated);

  // Nothing matched: the account went, its password changed meanwhile, or the metadata grew too large.
  auto hash_now = co_await repository_.find_password(who.account, deadline);
  if (hash_now.has_error()) co_return hash_now.error();
  if (!hash_now->has_value()) co_return failed(errc::account_not_found);
  if (is_password_change && **hash_now != expected_hash) co_return failed(errc::conflict);
  co_return failed(errc::metadata_too_large);
}

}  // namespace pam::auth
