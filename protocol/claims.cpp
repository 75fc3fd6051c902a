#include "protocol/claims.hpp"

#include "protocol/detail/json_reader.hpp"
#include "protocol/detail/text_forms.hpp"
#include "protocol/json_writer.hpp"

namespace pam::protocol {
namespace {

using detail::json_reader;

void write_number(json_writer& json, std::string_view name, std::int64_t value) {
  json.key(name);
  json.integer(value);
}

bool read_text(json_reader& reader, json_reader::value& v, std::string& out) {
  std::string_view content;
  if (!reader.text(v, content)) return false;
  out = content;
  return true;
}

bool read_uuid(json_reader& reader, json_reader::value& v, std::optional<boost::uuids::uuid>& out) {
  std::string_view content;
  if (!reader.text(v, content)) return false;
  out = parse_uuid(content);
  return out.has_value() || reader.refuse(codes::bad_jwt, "must be a UUID");
}

/// Whatever is wrong with a token is the token's fault.
decode_error bad_token(json_reader& reader) {
  decode_error failure = reader.take_fault();
  failure.code = &codes::bad_jwt;
  failure.pointer.clear();  // pointers are for bodies
  return failure;
}

decode_error missing(std::string_view claim) {
  return {&codes::bad_jwt, "The token must carry the claim " + std::string{claim} + ".", {}};
}

}  // namespace

std::string encode(const access_claims& value) {
  std::string out;
  out.reserve(512 + value.iss.size() + value.email.size() + value.app_metadata.size() +
              value.user_metadata.size() + 48 * value.amr.size());
  json_writer json{out};
  json.begin_object();
  json.member("iss", value.iss);
  json.member("sub", detail::view(detail::text_of(value.sub)));
  json.member("aud", value.aud);
  write_number(json, "exp", value.exp);
  write_number(json, "iat", value.iat);
  json.member("email", value.email);
  json.member("phone", value.phone);
  json.key("app_metadata");
  json.raw(value.app_metadata);
  json.key("user_metadata");
  json.raw(value.user_metadata);
  json.member("role", value.role);
  json.member("aal", value.aal);
  json.key("amr");
  json.raw(encode_amr(value.amr));
  json.member("session_id", detail::view(detail::text_of(value.session_id)));
  json.key("is_anonymous");
  json.boolean(value.is_anonymous);
  json.end_object();
  return out;
}

std::string encode(const machine_claims& value) {
  std::string out;
  json_writer json{out};
  json.begin_object();
  json.member("iss", value.iss);
  json.member("sub", value.sub);
  json.member("aud", value.aud);
  json.member("role", value.role);
  write_number(json, "exp", value.exp);
  write_number(json, "iat", value.iat);
  json.end_object();
  return out;
}

decoded<token_subject> decode_token_subject(std::string_view payload) {
  auto& reader = json_reader::of_this_thread();
  std::optional<boost::uuids::uuid> account;
  std::optional<boost::uuids::uuid> session;
  std::optional<std::int64_t> issued;
  token_subject subject;
  subject.aal = "aal1";
  const bool is_fine = reader.read_object(payload, [&](std::string_view key, json_reader::value& v) {
    if (key == "sub") return read_uuid(reader, v, account);
    if (key == "session_id") return read_uuid(reader, v, session);
    if (key == "iat") return reader.integer(v, issued.emplace());
    if (key == "exp") return reader.integer(v, subject.exp);
    if (key == "aal") return read_text(reader, v, subject.aal);
    return reader.skip(v);
  });
  if (!is_fine) return bad_token(reader);
  if (!account) return missing("sub");
  if (!session) return missing("session_id");
  if (!issued) return missing("iat");

  subject.account = *account;
  subject.session = *session;
  subject.iat = *issued;
  return subject;
}

decoded<machine_claims> decode_machine_claims(std::string_view payload) {
  auto& reader = json_reader::of_this_thread();
  machine_claims claims;
  const bool is_fine = reader.read_object(payload, [&](std::string_view key, json_reader::value& v) {
    if (key == "iss") return read_text(reader, v, claims.iss);
    if (key == "sub") return read_text(reader, v, claims.sub);
    if (key == "aud") return read_text(reader, v, claims.aud);
    if (key == "role") return read_text(reader, v, claims.role);
    if (key == "exp") return reader.integer(v, claims.exp);
    if (key == "iat") return reader.integer(v, claims.iat);
    return reader.skip(v);
  });
  if (!is_fine) return bad_token(reader);
  if (claims.role.empty()) return missing("role");
  return claims;
}

}  // namespace pam::protocol
