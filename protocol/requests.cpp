#include "protocol/requests.hpp"

#include "protocol/detail/json_reader.hpp"

namespace pam::protocol {
namespace {

using detail::json_kind;
using detail::json_reader;

/// Reads a string of at most `max_bytes`; `read` stays untouched for null.
template <class Take>
bool bounded_text(json_reader& reader, json_reader::value& v, std::size_t max_bytes, Take take) {
  if (json_reader::kind_of(v) == json_kind::null) return reader.skip(v);
  std::string_view content;
  if (!reader.text(v, content)) return false;
  if (content.size() > max_bytes) {
    return reader.refuse(codes::validation_failed, "must be at most " + std::to_string(max_bytes) + " bytes");
  }
  take(content);
  return true;
}

/// For members whose empty string means absent.
bool read_text(json_reader& reader, json_reader::value& v, std::size_t max_bytes,
               std::optional<std::string>& out) {
  return bounded_text(reader, v, max_bytes, [&out](std::string_view content) {
    if (!content.empty()) out.emplace(content);
  });
}

bool read_password(json_reader& reader, json_reader::value& v, std::optional<sensitive>& out) {
  return bounded_text(reader, v, max_password_bytes,
                      [&out](std::string_view content) { out.emplace(content); });
}

bool read_patch(json_reader& reader, json_reader::value& v, std::optional<metadata_patch>& out) {
  if (json_reader::kind_of(v) == json_kind::null) return reader.skip(v);

  metadata_patch patch;
  patch.set.clear();
  json_writer set{patch.set};
  std::size_t removed_bytes = 0;
  set.begin_object();
  const bool is_fine = reader.each_member(v, [&](std::string_view key, json_reader::value& member) {
    if (json_reader::kind_of(member) == json_kind::null) {
      patch.removed.emplace_back(key);
      removed_bytes += key.size();
      return reader.skip(member);
    }
    set.key(key);
    return reader.copy(member, set, max_metadata_bytes);
  });
  set.end_object();
  if (!is_fine) return false;
  if (patch.set.size() > max_metadata_bytes || removed_bytes > max_metadata_bytes) {
    return reader.refuse(codes::validation_failed, "must be at most 16384 bytes of JSON");
  }
  out = std::move(patch);
  return true;
}

/// One member that a request knows: its name and what reads it.
template <class Request>
struct member_rule {
  std::string_view name;
  bool (*read)(json_reader&, json_reader::value&, Request&);
};

template <class Request, std::size_t N>
bool read_members(json_reader& reader, std::string_view body, const member_rule<Request> (&rules)[N],
                  Request& out) {
  if (body.empty()) return true;  // an empty body is an empty object
  return reader.read_object(body, [&](std::string_view key, json_reader::value& v) {
    for (const auto& rule : rules) {
      if (rule.name == key) return rule.read(reader, v, out);
    }
    return reader.skip(v);
  });
}

/// What the bodies have in common before it is known which members must be there.
struct raw_request {
  std::optional<std::string> email;
  std::optional<std::string> phone;
  std::optional<sensitive> password;
  std::optional<sensitive> current_password;
  std::optional<sensitive> refresh_token;
  std::optional<std::string> nonce;
  std::optional<metadata_patch> data;
};

using rule = member_rule<raw_request>;

constexpr rule email_rule{"email", [](json_reader& reader, json_reader::value& v, raw_request& out) {
                            return read_text(reader, v, max_email_bytes, out.email);
                          }};
constexpr rule phone_rule{"phone", [](json_reader& reader, json_reader::value& v, raw_request& out) {
                            return read_text(reader, v, max_phone_bytes, out.phone);
                          }};
constexpr rule password_rule{"password", [](json_reader& reader, json_reader::value& v, raw_request& out) {
                               return read_password(reader, v, out.password);
                             }};
constexpr rule current_password_rule{"current_password",
                                     [](json_reader& reader, json_reader::value& v, raw_request& out) {
                                       if (!read_password(reader, v, out.current_password)) return false;
                                       if (out.current_password && out.current_password->empty())
                                         out.current_password.reset();
                                       return true;
                                     }};
constexpr rule refresh_token_rule{
    "refresh_token", [](json_reader& reader, json_reader::value& v, raw_request& out) {
      return bounded_text(reader, v, max_refresh_token_bytes,
                          [&out](std::string_view content) { out.refresh_token.emplace(content); });
    }};
constexpr rule nonce_rule{"nonce", [](json_reader& reader, json_reader::value& v, raw_request& out) {
                            return read_text(reader, v, max_nonce_bytes, out.nonce);
                          }};
constexpr rule data_rule{"data", [](json_reader& reader, json_reader::value& v, raw_request& out) {
                           return read_patch(reader, v, out.data);
                         }};

constexpr rule sign_up_rules[] = {email_rule, phone_rule, password_rule, data_rule};
constexpr rule password_grant_rules[] = {email_rule, phone_rule, password_rule};
constexpr rule refresh_grant_rules[] = {refresh_token_rule};
constexpr rule update_user_rules[] = {email_rule, phone_rule, password_rule, current_password_rule,
                                      nonce_rule, data_rule};

bool has_one_address(json_reader& reader, const raw_request& request) {
  if (!request.email || !request.phone) return true;
  return reader.refuse(codes::validation_failed, "phone", "must be absent where there is an email");
}

bool has_password(json_reader& reader, const raw_request& request) {
  return request.password || reader.refuse(codes::validation_failed, "password", "must be there");
}

bool has_address(json_reader& reader, const raw_request& request) {
  return request.email || request.phone ||
         reader.refuse(codes::validation_failed, "email", "must be there, or else a phone");
}

}  // namespace

decoded<sign_up_request> decode_sign_up(std::string_view body) {
  auto& reader = json_reader::of_this_thread();
  raw_request raw;
  if (!read_members(reader, body, sign_up_rules, raw) || !has_one_address(reader, raw)) {
    return reader.take_fault();
  }
  // GoTrue would make an anonymous user of a password without an address: nobody who typed one wants that.
  const bool is_anonymous = !raw.email && !raw.phone && !raw.password;
  if (!is_anonymous && !(has_address(reader, raw) && has_password(reader, raw))) return reader.take_fault();

  sign_up_request request;
  request.email = std::move(raw.email);
  request.phone = std::move(raw.phone);
  request.password = std::move(raw.password);
  if (raw.data) request.data = std::move(*raw.data);
  return request;
}

decoded<password_grant_request> decode_password_grant(std::string_view body) {
  auto& reader = json_reader::of_this_thread();
  raw_request raw;
  if (!read_members(reader, body, password_grant_rules, raw) || !has_one_address(reader, raw) ||
      !has_address(reader, raw) || !has_password(reader, raw)) {
    return reader.take_fault();
  }

  password_grant_request request;
  request.email = std::move(raw.email);
  request.phone = std::move(raw.phone);
  request.password = std::move(*raw.password);
  return request;
}

decoded<refresh_grant_request> decode_refresh_grant(std::string_view body) {
  auto& reader = json_reader::of_this_thread();
  raw_request raw;
  if (!read_members(reader, body, refresh_grant_rules, raw)) return reader.take_fault();
  if (!raw.refresh_token || raw.refresh_token->empty()) {
    reader.refuse(codes::validation_failed, "refresh_token", "must be there");
    return reader.take_fault();
  }

  refresh_grant_request request;
  request.refresh_token = std::move(*raw.refresh_token);
  return request;
}

decoded<update_user_request> decode_update_user(std::string_view body) {
  auto& reader = json_reader::of_this_thread();
  raw_request raw;
  if (!read_members(reader, body, update_user_rules, raw)) return reader.take_fault();

  update_user_request request;
  request.email = std::move(raw.email);
  request.phone = std::move(raw.phone);
  request.password = std::move(raw.password);
  request.current_password = std::move(raw.current_password);
  request.nonce = std::move(raw.nonce);
  request.data = std::move(raw.data);
  return request;
}

}  // namespace pam::protocol
