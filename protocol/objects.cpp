#include "protocol/objects.hpp"

#include "protocol/detail/text_forms.hpp"
#include "protocol/json_writer.hpp"

namespace pam::protocol {
namespace {

void write_time(json_writer& json, std::string_view name, timestamp value) {
  json.member(name, detail::view(detail::text_of(value)));
}

void write_id(json_writer& json, std::string_view name, const boost::uuids::uuid& value) {
  json.member(name, detail::view(detail::text_of(value)));
}

void write_time(json_writer& json, std::string_view name, const std::optional<timestamp>& value) {
  if (value) write_time(json, name, *value);
}

void write_flag(json_writer& json, std::string_view name, bool value) {
  json.key(name);
  json.boolean(value);
}

void write_number(json_writer& json, std::string_view name, std::int64_t value) {
  json.key(name);
  json.integer(value);
}

void write_raw(json_writer& json, std::string_view name, std::string_view object) {
  json.key(name);
  json.raw(object);
}

void write_if_any(json_writer& json, std::string_view name, std::string_view value) {
  if (!value.empty()) json.member(name, value);
}

void write(json_writer& json, const identity& value) {
  json.begin_object();
  write_id(json, "identity_id", value.identity_id);
  json.member("id", value.provider_id);
  write_id(json, "user_id", value.user_id);
  write_raw(json, "identity_data", value.identity_data);
  json.member("provider", value.provider);
  write_time(json, "last_sign_in_at", value.last_sign_in_at);
  write_time(json, "created_at", value.created_at);
  write_time(json, "updated_at", value.updated_at);
  json.member("email", value.email);
  json.end_object();
}

/// The members that tell which addresses are proven and which changes are under way.
void write_addresses(json_writer& json, const user& value) {
  json.member("email", value.email);
  write_time(json, "email_confirmed_at", value.email_confirmed_at);
  write_time(json, "invited_at", value.invited_at);
  json.member("phone", value.phone);
  write_time(json, "phone_confirmed_at", value.phone_confirmed_at);
  write_time(json, "confirmation_sent_at", value.confirmation_sent_at);
  write_time(json, "confirmed_at",
             value.email_confirmed_at ? value.email_confirmed_at : value.phone_confirmed_at);
  write_time(json, "recovery_sent_at", value.recovery_sent_at);
  write_if_any(json, "new_email", value.new_email);
  write_time(json, "email_change_sent_at", value.email_change_sent_at);
  write_if_any(json, "new_phone", value.new_phone);
  write_time(json, "phone_change_sent_at", value.phone_change_sent_at);
  write_time(json, "reauthentication_sent_at", value.reauthentication_sent_at);
}

void write(json_writer& json, const user& value) {
  json.begin_object();
  write_id(json, "id", value.id);
  json.member("aud", value.aud);
  json.member("role", value.role);
  write_addresses(json, value);
  write_time(json, "last_sign_in_at", value.last_sign_in_at);
  write_raw(json, "app_metadata", value.app_metadata);
  write_raw(json, "user_metadata", value.user_metadata);
  json.key("identities");
  json.begin_array();
  for (const auto& each : value.identities) write(json, each);
  json.end_array();
  write_time(json, "created_at", value.created_at);
  write_time(json, "updated_at", value.updated_at);
  write_time(json, "banned_until", value.banned_until);
  write_time(json, "deleted_at", value.deleted_at);
  write_flag(json, "is_anonymous", value.is_anonymous);
  json.end_object();
}

void write(json_writer& json, const std::vector<authentication_method>& value) {
  json.begin_array();
  for (const auto& each : value) {
    json.begin_object();
    json.member("method", each.method);
    write_number(json, "timestamp", each.timestamp);
    json.end_object();
  }
  json.end_array();
}

void write(json_writer& json, const session_info& value) {
  json.begin_object();
  write_id(json, "id", value.id);
  write_flag(json, "current", value.current);
  write_time(json, "created_at", value.created_at);
  write_time(json, "refreshed_at", value.refreshed_at);
  write_time(json, "expires_at", value.expires_at);
  write_time(json, "idle_expires_at", value.idle_expires_at);
  json.member("aal", value.aal);
  json.key("amr");
  write(json, value.amr);
  if (value.ip) json.member("ip", *value.ip);
  if (value.user_agent) json.member("user_agent", *value.user_agent);
  if (value.client_id) json.member("client_id", *value.client_id);
  json.end_object();
}

/// The client shows the advice only when it carries a message.
void write_advice(json_writer& json, const std::vector<std::string_view>& reasons) {
  json.key("weak_password");
  json.begin_object();
  json.member("message", "This password no longer meets the requirements; please choose a new one.");
  json.key("reasons");
  json.begin_array();
  for (const auto reason : reasons) json.text(reason);
  json.end_array();
  json.end_object();
}

std::size_t estimated_size(const user& value) {
  std::size_t bytes = 768 + value.email.size() + value.app_metadata.size() + value.user_metadata.size();
  for (const auto& each : value.identities) bytes += 384 + each.identity_data.size() + each.email.size();
  return bytes;
}

}  // namespace

std::string encode(const user& value) {
  std::string out;
  out.reserve(estimated_size(value));
  json_writer json{out};
  write(json, value);
  return out;
}

std::string encode(const token_response& value) {
  std::string out;
  out.reserve(256 + value.access_token.size() + value.refresh_token.size() + estimated_size(value.user));
  json_writer json{out};
  json.begin_object();
  json.member("access_token", value.access_token);
  json.member("token_type", "bearer");
  write_number(json, "expires_in", value.expires_in);
  write_number(json, "expires_at", value.expires_at);
  json.member("refresh_token", value.refresh_token);
  json.key("user");
  write(json, value.user);
  if (!value.weak_password_reasons.empty()) write_advice(json, value.weak_password_reasons);
  json.end_object();
  return out;
}

std::string encode(const std::vector<session_info>& value) {
  std::string out;
  out.reserve(16 + 512 * value.size());
  json_writer json{out};
  json.begin_object();
  json.key("sessions");
  json.begin_array();
  for (const auto& each : value) write(json, each);
  json.end_array();
  json.end_object();
  return out;
}

std::string encode(const settings& value) {
  std::string out;
  json_writer json{out};
  json.begin_object();
  json.key("external");
  json.begin_object();
  write_flag(json, "anonymous_users", value.anonymous_users);
  write_flag(json, "email", value.email);
  write_flag(json, "phone", value.phone);
  json.end_object();
  write_flag(json, "disable_signup", value.disable_signup);
  write_flag(json, "mailer_autoconfirm", value.mailer_autoconfirm);
  write_flag(json, "phone_autoconfirm", value.phone_autoconfirm);
  json.member("sms_provider", value.sms_provider);
  write_flag(json, "saml_enabled", value.saml_enabled);
  write_flag(json, "passkeys_enabled", value.passkeys_enabled);
  json.end_object();
  return out;
}

std::string encode_amr(const std::vector<authentication_method>& value) {
  std::string out;
  json_writer json{out};
  write(json, value);
  return out;
}

}  // namespace pam::protocol
