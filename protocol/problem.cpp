#include "protocol/problem.hpp"

#include "protocol/json_writer.hpp"

namespace pam::protocol {
namespace {

void write_field_errors(json_writer& json, const std::vector<field_error>& errors) {
  json.key("errors");
  json.begin_array();
  for (const auto& error : errors) {
    json.begin_object();
    json.member("pointer", error.pointer);
    json.member("reason", error.reason);
    json.end_object();
  }
  json.end_array();
}

void write_weak_password(json_writer& json, std::string_view message,
                         const std::vector<std::string_view>& reasons) {
  json.key("weak_password");
  json.begin_object();
  json.member("message", message);
  json.key("reasons");
  json.begin_array();
  for (const auto reason : reasons) json.text(reason);
  json.end_array();
  json.end_object();
}

}  // namespace

std::string encode(const problem& value, bool string_codes, std::string_view type_base) {
  const error_code& code = *value.code;
  const std::string_view detail = value.detail.empty() ? code.title : std::string_view{value.detail};
  std::string out;
  out.reserve(384 + type_base.size() + 3 * detail.size());
  json_writer json{out};

  json.begin_object();
  json.member("type", std::string{type_base}.append("/errors/").append(code.code));
  json.member("title", code.title);
  json.key("status");
  json.integer(value.http_status());
  json.member("detail", detail);
  json.key("code");
  if (string_codes) {
    json.text(code.code);
  } else {
    json.integer(value.http_status());
  }
  json.member("error_code", code.code);
  json.member("msg", detail);
  json.member("message", detail);
  json.member("request_id", value.request_id);
  if (!value.reason.empty()) json.member("reason", value.reason);
  if (value.may_have_happened) {
    json.key("may_have_happened");
    json.boolean(true);
  }
  if (!value.errors.empty()) write_field_errors(json, value.errors);
  // Clients make a special error of this code and expect the member whatever is known.
  if (&code == &codes::weak_password || !value.weak_password_reasons.empty()) {
    write_weak_password(json, detail, value.weak_password_reasons);
  }
  json.end_object();
  return out;
}

}  // namespace pam::protocol
