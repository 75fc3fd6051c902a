#include "server/auth/accounts.hpp"

#include <utility>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/uuid/name_generator_sha1.hpp>

#include "async/counting.hpp"
#include "server/auth/email_address.hpp"
#include "server/crypto/random.hpp"

namespace pam::auth {
namespace {

using async::count;

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

boost::asio::awaitable<password_verdict> accounts::judge_password(crypto::secret password, std::string email,
                                                                  async::deadline deadline) {
  auto verdict = check_password(password.view(), email, policy_.password);
  if (breaches_ == nullptr || !verdict.reasons.empty()) co_return verdict;
  const bool is_stolen = co_await breaches_->is_stolen(crypto::sha1(verdict.normalized.view()), deadline);
  if (is_stolen) verdict.reasons.push_back("pwned");
  co_return verdict;
}

boost::asio::awaitable<result<grant>> accounts::sign_up(sign_up_command what, async::deadline deadline) {
  if (!policy_.is_signup_enabled) co_return failed(errc::signup_disabled);
  auto checked = co_await judge_password(what.password.clone(), what.email, deadline);
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

  auto created = co_await repository_.create(std::move(row), deadline);
  if (created.has_error()) co_return created.error();
  if (!created->has_value()) co_return failed(errc::account_exists);
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
  // A second round is for a password hash that another sign-in upgraded while we verified the old one.
  constexpr int rounds = 2;
  // An address that cannot exist takes the same road as one that does not.
  auto canonical = canonical_email(what.email);
  const std::string email = canonical.has_value() ? std::move(*canonical) : std::string{};
  const auto admitted = admit(what, email);
  if (admitted.has_error()) co_return admitted.error();
  for (int round = 0; round < rounds; ++round) {
    auto found = co_await prove_password(what, email, admitted->device, deadline);
    if (found.has_error()) co_return found.error();
    // Only who knows the password learns of a ban or a missing confirmation.
    if (found->row.banned_until && *found->row.banned_until > clock_now())
      co_return failed(errc::account_banned);
    if (!found->row.is_confirmed) co_return failed(errc::email_not_confirmed);
    auto signed_in = co_await record_sign_in(std::move(*found), what, deadline);
    if (signed_in.has_error()) co_return signed_in.error();
    if (signed_in->has_value()) co_return std::move(**signed_in);
  }
  co_return failed(errc::invalid_credentials);  // the password changed while we were hashing
}

namespace {

error rate_limited(std::chrono::microseconds wait) {
  error failure = failed(errc::rate_limited);
  failure.retry_after = std::chrono::ceil<std::chrono::seconds>(wait);
  return failure;
}

std::string_view characters(const void* data, std::size_t size) {
  return {static_cast<const char*>(data), size};
}

}  // namespace

// A known device spends its own budget first, so that whoever guesses at a subject cannot keep its owner out.
result<accounts::admission> accounts::admit(const sign_in_command& what, const std::string& email) {
  const auto now = std::chrono::steady_clock::now();
  admission admitted;
  if (!what.device.empty()) admitted.device = recognise(keys_, what.device);
  if (admitted.device) {
    const auto key = characters(admitted.device->nonce.data(), admitted.device->nonce.size());
    if (attempts_.take(key, policy_.device_attempts, now).count() == 0) return admitted;
    admitted.device.reset();
  }
  const auto taken = take_attempt(email.empty() ? what.email : email);
  if (taken.has_error()) return taken.error();
  return admitted;
}

// Nothing of a device's budget is taken: no password was looked at.
std::chrono::seconds accounts::send_away(std::string_view device) {
  const bool is_known = !device.empty() && recognise(keys_, device).has_value();
  return hashes_.send_away(is_known ? crypto::turn::first : crypto::turn::usual);
}

result<void> accounts::take_attempt(std::string_view subject) {
  const auto wait = attempts_.take(subject, policy_.subject_attempts, std::chrono::steady_clock::now());
  if (wait.count() == 0) return {};
  count(statistics_.rate_limited);
  return rate_limited(wait);
}

boost::asio::awaitable<result<accounts::proven_account>> accounts::prove_password(const sign_in_command& what,
                                                                                  std::string email,
                                                                                  std::optional<device> from,
                                                                                  async::deadline deadline) {
  const auto arrived = std::chrono::steady_clock::now();
  const uuid stranger = subject_id(email);
  auto found = co_await repository_.find_for_sign_in(email, deadline);
  if (found.has_error()) co_return found.error();

  proven_account proven;
  if (found->has_value()) {
    proven.row = std::move(**found);
  } else {
    proven.row.id = crypto::uuid_v4();
  }
  proven.is_known_device = from && from->account == proven.row.id;
  // Somebody else's device is a stranger here: it has not paid for this subject yet.
  if (from && !proven.is_known_device) {
    const auto taken = take_attempt(email);
    if (taken.has_error()) co_return taken.error();
  }
  // The same work, the same answer: whether an account's attempts are used up is nobody's business.
  const bool is_judged =
      proven.is_known_device || judge_attempt(proven.row.attempts, clock_now()) == attempt_verdict::counts;
  if (!is_judged) count(statistics_.unjudged);
  const bool may_match = !proven.row.hashed_password.empty() && !proven.row.deleted_at;
  if (may_match) census_.note(proven.row.id, proven.row.hashed_password);
  std::string stored = may_match ? proven.row.hashed_password : census_.stand_in(email);
  // In a storm of sign-ins who has been here before goes first; strangers cannot displace him.
  const auto whose = proven.is_known_device ? crypto::turn::first : crypto::turn::usual;
  auto verified =
      co_await hashes_.verify(normalize_password(what.password.view()), std::move(stored), deadline, whose);
  const bool is_unusable = verified.has_error() && verified.error().code == crypto::errc::bad_hash;
  if (verified.has_error() && !is_unusable) co_return from_crypto(verified.error());
  if (is_unusable) count(statistics_.unusable_hashes);
  if (is_unusable || !verified->matches || !may_match || !is_judged) {
    const auto judged = std::chrono::steady_clock::now();
    // An attempt that was not judged is not counted: it would only lengthen the owner's wait. The statement
    // runs all the same, for an account that does not exist.
    const uuid counted = is_judged ? proven.row.id : crypto::uuid_v4();
    co_await record_failure(counted, found->has_value() ? proven.row.id : stranger, what.place, deadline);
    boost::asio::steady_timer pause{co_await boost::asio::this_coro::executor,
                                    refusal_time(arrived, judged, std::chrono::steady_clock::now())};
    co_await pause.async_wait(boost::asio::use_awaitable);
    co_return failed(errc::invalid_credentials);
  }
  if (proven.is_known_device) count(statistics_.known_devices);
  proven.needs_rehash = verified->needs_rehash;
  co_return proven;
}

// The answer is the same whether or not the count could be written: anything else would tell a stranger,
// who can make the row busy, that the account exists.
boost::asio::awaitable<void> accounts::record_failure(uuid account, uuid subject, client_place place,
                                                      async::deadline deadline) {
  const timestamp now = clock_now();
  count(statistics_.failures);
  auto counted = co_await repository_.record_failure(account, now, deadline);
  if (counted.has_error()) count(statistics_.uncounted_failures);
  audit_event event;
  event.account = subject;
  event.occurred_at = now;
  event.kind = "sign_in_failed";
  event.success = false;
  event.place = std::move(place);
  const bool is_stranger = subject.data[6] >> 4U == 8U;  // see subject_id
  if (is_stranger) event.detail = R"({"subject":"unknown"})";
  auto logged = co_await audit_.record_failure(std::move(event), deadline);
  if (logged.has_error() || !*logged) count(statistics_.unlogged_failures);
}

uuid accounts::subject_id(std::string_view given) const {
  // The refresh key's HMAC over two hashes of what was given; without the key nobody can try addresses.
  const boost::uuids::name_generator_sha1 hash{boost::uuids::ns::oid()};
  crypto::refresh_token carrier;
  carrier.account = hash(given.data(), given.size());
  carrier.session = boost::uuids::name_generator_sha1{carrier.account}(given.data(), given.size());
  const crypto::refresh_token keyed = keys_.derive(carrier, 0);
  uuid id{};
  for (std::size_t i = 0; i < id.size(); ++i) id.data[i] = static_cast<std::uint8_t>(keyed.secret[i]);
  id.data[6] = static_cast<std::uint8_t>((id.data[6] & 0x0fU) | 0x80U);
  id.data[8] = static_cast<std::uint8_t>((id.data[8] & 0x3fU) | 0x80U);
  return id;
}

boost::asio::awaitable<result<std::optional<sign_in_outcome>>> accounts::record_sign_in(
    proven_account found, const sign_in_command& what, async::deadline deadline) {
  std::optional<std::string> new_hash;
  if (found.needs_rehash) {
    auto stronger = co_await hashes_.hash(normalize_password(what.password.view()), deadline);
    // A busy pool is no reason to refuse a sign-in that has succeeded; the next one upgrades the hash.
    if (stronger.has_value()) new_hash = std::move(*stronger);
  }
  const timestamp now = clock_now();
  crypto::refresh_token token = keys_.first_refresh_token(found.row.id, crypto::uuid_v7(now));
  new_session session = make_session(token, now, what.amr, what.place);
  auto row = co_await repository_.record_sign_in(found.row.id, std::move(found.row.hashed_password),
                                                 std::move(new_hash), std::move(session), now, deadline);
  if (row.has_error()) co_return row.error();
  std::optional<sign_in_outcome> outcome;
  if (!row->has_value()) co_return outcome;
  outcome.emplace();
  outcome->grant.account = std::move((*row)->account);
  outcome->grant.session = std::move((*row)->session);
  outcome->grant.refresh_token = token;
  if (!found.is_known_device) outcome->new_device = new_device_text(keys_, found.row.id);
  auto advice = co_await judge_password(what.password.clone(), outcome->grant.account.email, deadline);
  outcome->weak_password_reasons = std::move(advice.reasons);
  co_return outcome;
}

boost::asio::awaitable<result<account>> accounts::find(uuid id, async::deadline deadline) {
  auto found = co_await repository_.find(id, deadline);
  if (found.has_error()) co_return found.error();
  if (!found->has_value()) co_return failed(errc::account_not_found);
  co_return std::move(**found);
}

boost::asio::awaitable<result<std::string>> accounts::hash_replacement(session_key who, std::string stored,
                                                                       const update_command& what,
                                                                       async::deadline deadline) {
  if (policy_.must_confirm_current_password && !stored.empty() && !what.current_password) {
    co_return failed(errc::current_password_required);
  }
  if (what.current_password) {
    const auto wait = attempts_.take(characters(who.account.data, sizeof who.account.data),
                                     policy_.device_attempts, std::chrono::steady_clock::now());
    if (wait.count() > 0) {
      count(statistics_.rate_limited);
      co_return rate_limited(wait);
    }
    auto proof = co_await hashes_.verify(normalize_password(what.current_password->view()), stored, deadline);
    if (proof.has_error()) co_return from_crypto(proof.error());
    if (!proof->matches) {
      // Guessing with a stolen access token counts as well.
      co_await record_failure(who.account, who.account, client_place{}, deadline);
      co_return failed(errc::current_password_invalid);
    }
  }
  auto owner = co_await find(who.account, deadline);
  if (owner.has_error()) co_return owner.error();
  auto checked = co_await judge_password(what.password->clone(), owner->email, deadline);
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
  change.metadata_set = std::move(what.metadata_set);
  change.metadata_removed = std::move(what.metadata_removed);
  if (what.password) co_return co_await change_password(who, std::move(change), std::move(what), deadline);
  auto updated = co_await repository_.update(who, std::move(change), clock_now(), deadline);
  if (updated.has_error()) co_return updated.error();
  if (updated->has_value()) co_return std::move(**updated);
  // The bearer was checked a moment ago: what is left is the metadata's size, or a session that just ended.
  co_return co_await why_unchanged(who, std::nullopt, deadline);
}

boost::asio::awaitable<result<account>> accounts::change_password(session_key who, account_change change,
                                                                  update_command what,
                                                                  async::deadline deadline) {
  auto stored = co_await repository_.find_password(who.account, deadline);
  if (stored.has_error()) co_return stored.error();
  if (!stored->has_value()) co_return failed(errc::account_not_found);
  auto replacement = co_await hash_replacement(who, **stored, what, deadline);
  if (replacement.has_error()) co_return replacement.error();
  change.hashed_password = std::move(*replacement);
  // The transaction locks the account, then sessions; a batch may hold them the other way round.
  constexpr int tries = 3;
  for (int attempt = 1;; ++attempt) {
    auto updated = co_await repository_.change_password(who, change, **stored, clock_now(), deadline);
    const bool is_busy = updated.has_error() && updated.error().reason == "database_busy";
    if (is_busy && attempt < tries) continue;
    if (updated.has_error()) co_return updated.error();
    if (updated->has_value()) co_return std::move(**updated);
    break;
  }
  co_return co_await why_unchanged(who, std::move(**stored), deadline);
}

boost::asio::awaitable<error> accounts::why_unchanged(session_key who,
                                                      std::optional<std::string> expected_hash,
                                                      async::deadline deadline) {
  auto stored = co_await repository_.find_password(who.account, deadline);
  if (stored.has_error()) co_return stored.error();
  if (!stored->has_value()) co_return failed(errc::account_not_found);
  if (expected_hash && **stored != *expected_hash) co_return failed(errc::conflict);
  auto bearer = co_await sessions_.find_bearer(who, deadline);
  if (bearer.has_error()) co_return bearer.error();
  const timestamp now = clock_now();
  const bool is_ended =
      !bearer->has_value() || !(*bearer)->has_session || (*bearer)->is_session_revoked ||
      (*bearer)->session_expires_at <= now ||
      ((*bearer)->tokens_valid_after && *(*bearer)->tokens_valid_after > session_start(who.session));
  if (is_ended) co_return failed(errc::session_not_found);
  if ((*bearer)->banned_until && *(*bearer)->banned_until > now) co_return failed(errc::account_banned);
  co_return failed(errc::metadata_too_large);
}

}  // namespace pam::auth
