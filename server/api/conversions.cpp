#include "server/api/conversions.hpp"

#include <chrono>
#include <utility>

#include "protocol/claims.hpp"
#include "protocol/refresh_token_text.hpp"
#include "server/api/answers.hpp"

namespace pam::api {
namespace {

std::string aal_text(std::int16_t aal) {
  return aal >= 2 ? "aal2" : "aal1";
}

/// A form PostgreSQL's inet takes: IPv4-mapped addresses as IPv4, without a zone.
std::string address_text(const boost::asio::ip::address& address) {
  if (address.is_v4()) return address.to_string();
  const auto v6 = address.to_v6();
  if (v6.is_v4_mapped()) return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6).to_string();
  return boost::asio::ip::address_v6{v6.to_bytes()}.to_string();
}

/// Header bytes may be no UTF-8, which PostgreSQL refuses together with the whole batch.
std::string printable_ascii(std::string_view text) {
  std::string printable{text};
  for (char& c : printable) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return printable;
}

protocol::identity to_identity(auth::identity from, const auth::uuid& user) {
  protocol::identity made;
  made.identity_id = from.id;
  made.provider_id = std::move(from.provider_id);
  made.user_id = user;
  made.identity_data = std::move(from.data);
  made.provider = std::move(from.provider);
  made.last_sign_in_at = from.last_sign_in_at;
  made.created_at = from.created_at;
  made.updated_at = from.updated_at;
  made.email = std::move(from.email);
  return made;
}

protocol::access_claims claims_of(const auth::access_tokens& tokens, const auth::account& account,
                                  const auth::session& session, std::chrono::seconds lifetime) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  protocol::access_claims claims;
  claims.iss = tokens.policy().issuer;
  claims.sub = account.id;
  claims.aud = tokens.policy().audience;  // what verify() demands, whatever it was at sign-up
  claims.iat = now.time_since_epoch().count();
  claims.exp = claims.iat + lifetime.count();
  claims.email = account.email;
  claims.phone = account.phone;
  claims.app_metadata = account.app_metadata;
  claims.user_metadata = account.metadata;
  claims.role = account.role;
  claims.aal = aal_text(session.aal);
  claims.amr = protocol::decode_amr(session.amr);
  claims.session_id = session.id;
  claims.is_anonymous = account.is_anonymous;
  return claims;
}

}  // namespace

protocol::user to_user(auth::account from) {
  protocol::user made;
  made.id = from.id;
  made.aud = std::move(from.aud);
  made.role = std::move(from.role);
  made.email = std::move(from.email);
  made.phone = std::move(from.phone);
  made.email_confirmed_at = from.email_confirmed_at;
  made.phone_confirmed_at = from.phone_confirmed_at;
  made.last_sign_in_at = from.last_sign_in_at;
  made.app_metadata = std::move(from.app_metadata);
  made.user_metadata = std::move(from.metadata);
  made.created_at = from.created_at;
  made.updated_at = from.updated_at;
  made.banned_until = from.banned_until;
  made.deleted_at = from.deleted_at;
  made.is_anonymous = from.is_anonymous;
  made.identities.reserve(from.identities.size());
  for (auth::identity& each : from.identities)
    made.identities.push_back(to_identity(std::move(each), from.id));
  return made;
}

protocol::session_info to_session_info(const auth::session& from, bool is_current) {
  protocol::session_info made;
  made.id = from.id;
  made.current = is_current;
  made.created_at = from.created_at;
  made.refreshed_at = from.refreshed_at;
  made.expires_at = from.absolute_expires_at;
  made.idle_expires_at = from.expires_at;
  made.aal = aal_text(from.aal);
  made.amr = protocol::decode_amr(from.amr);
  made.ip = from.ip;
  made.user_agent = from.user_agent;
  return made;
}

void answer_grant(service& application, net::request_context& request, auth::grant granted,
                  std::vector<std::string_view> weak_password_reasons) {
  const auth::access_tokens& tokens = application.tokens();
  const std::chrono::seconds lifetime = tokens.next_lifetime();
  const std::uint64_t epoch = tokens.epoch();
  const protocol::access_claims claims = claims_of(tokens, granted.account, granted.session, lifetime);
  auto signed_token = tokens.sign(protocol::encode(claims));
  if (signed_token.has_error()) {
    answer_error(application, request, signed_token.error(), origin::token);
    return;
  }
  // Its first request comes over this very connection, most likely: no need to verify what we just signed.
  application.verified().keep(*signed_token, {{granted.account.id, granted.session.id}, claims.iat},
                              claims.exp, epoch);
  protocol::token_response body;
  body.access_token = std::move(*signed_token);
  body.expires_in = lifetime.count();
  body.expires_at = claims.exp;
  body.refresh_token = protocol::encode_refresh_token(crypto::image_of(granted.refresh_token));
  body.user = to_user(std::move(granted.account));
  body.weak_password_reasons = std::move(weak_password_reasons);
  answer_json(request, protocol::encode(body));
}

auth::client_place place_of(const net::request_context& request) {
  auth::client_place place;
  if (!request.peer.is_unspecified()) place.ip = address_text(request.peer);
  place.user_agent = printable_ascii(request.header("user-agent"));
  place.request_id = request.id();
  return place;
}

std::string device_of(const net::request_context& request) {
  if (request.has_header(device_header)) return std::string{request.header(device_header)};
  std::string_view rest = request.header("cookie");
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find(';'), rest.size());
    std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (pair.starts_with(' ')) pair.remove_prefix(1);
    const std::size_t equals = pair.find('=');
    if (equals == device_cookie.size() && pair.starts_with(device_cookie))
      return std::string{pair.substr(equals + 1)};
  }
  return {};
}

std::string new_amr(std::string_view method) {
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return protocol::encode_amr({{std::string{method}, now.time_since_epoch().count()}});
}

bool has_json_body(service& application, net::request_context& request) {
  if (request.body.empty()) return true;
  std::string_view type = request.header("content-type");
  type = type.substr(0, type.find(';'));
  while (type.ends_with(' ')) type.remove_suffix(1);
  constexpr std::string_view json = "application/json";
  const auto equals_without_case = [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
  };
  if (type.empty() || std::equal(type.begin(), type.end(), json.begin(), json.end(), equals_without_case))
    return true;
  protocol::problem what;
  what.code = &protocol::codes::validation_failed;
  what.detail = "The body must be sent as Content-Type: application/json.";
  answer(application, request, std::move(what));
  return false;
}

}  // namespace pam::api
