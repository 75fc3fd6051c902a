#include "server/api/descriptions.hpp"

#include <array>

// One row for each row of the table in routes.cpp; a test compares the two.
namespace pam::api {
namespace {

namespace codes = protocol::codes;
using net::method;

constexpr std::array token_answer{answer_description{200, "token_response", "The session and its user"}};
constexpr std::array user_answer{answer_description{200, "user", "The user"}};
constexpr std::array done{answer_description{204, "", "Done"}};

constexpr std::array signup_errors{error_description{400, &codes::email_address_invalid},
                                   error_description{400, &codes::email_provider_disabled},
                                   error_description{400, &codes::phone_provider_disabled},
                                   error_description{422, &codes::anonymous_provider_disabled},
                                   error_description{422, &codes::signup_disabled},
                                   error_description{422, &codes::user_already_exists},
                                   error_description{422, &codes::weak_password}};

constexpr std::array token_parameters{
    query_parameter{"grant_type", R"({"type":"string","enum":["password","refresh_token"]})",
                    "Which grant the body holds", true}};
constexpr std::array token_errors{error_description{400, &codes::invalid_credentials},
                                  error_description{400, &codes::email_not_confirmed},
                                  error_description{400, &codes::refresh_token_not_found},
                                  error_description{400, &codes::refresh_token_already_used},
                                  error_description{400, &codes::session_not_found},
                                  error_description{400, &codes::session_expired},
                                  error_description{400, &codes::user_banned},
                                  error_description{404, &codes::flow_state_not_found},
                                  error_description{404, &codes::feature_disabled},
                                  error_description{422, &codes::email_provider_disabled},
                                  error_description{422, &codes::phone_provider_disabled},
                                  error_description{422, &codes::provider_disabled}};

constexpr std::array logout_parameters{
    query_parameter{"scope", R"({"type":"string","enum":["","global","local","others"],"default":"global"})",
                    "Which sessions end: all, this one, all but this one"}};
constexpr std::array put_user_errors{error_description{400, &codes::current_password_required},
                                     error_description{400, &codes::current_password_invalid},
                                     error_description{404, &codes::feature_disabled},
                                     error_description{422, &codes::same_password},
                                     error_description{422, &codes::weak_password}};

constexpr std::array sessions_answer{
    answer_description{200, "sessions", "The user's live sessions, newest first"}};
constexpr std::array end_sessions_parameters{
    query_parameter{"except", R"({"type":"string","enum":["current"]})", "What is kept", true}};
constexpr std::array end_session_errors{error_description{404, &codes::not_found}};

constexpr std::array logout_all_answer{
    answer_description{200, "logout_all", "Every token issued before this moment has ended"}};
constexpr query_parameter page_limit{"limit", R"({"type":"integer","minimum":1,"maximum":1000,"default":50})",
                                     "Rows of a page"};
constexpr query_parameter page_cursor{"cursor", R"({"type":"string"})", "The next_cursor of the page before"};
constexpr std::array audit_parameters{
    query_parameter{"account_id", R"({"type":"string","format":"uuid"})", "Only this account's"},
    query_parameter{"kind", R"({"type":"string","pattern":"^[a-z0-9_]{1,40}$"})", "Only this kind"},
    query_parameter{"success", R"({"type":"boolean"})", "Only successes, or only failures"},
    query_parameter{"after", R"({"type":"integer","minimum":0})", "Unix seconds; not older than"},
    query_parameter{"before", R"({"type":"integer","minimum":0})", "Unix seconds; older than"},
    page_cursor,
    page_limit};
constexpr std::array audit_answer{answer_description{200, "audit", "A page of events"}};
constexpr std::array report_parameters{page_cursor, page_limit};
constexpr std::array report_answer{answer_description{200, "report", "A page of rows"}};
constexpr std::array introspect_answer{
    answer_description{200, "introspection", "What the token is; `active` alone where it is none"}};
constexpr std::array revoke_answer{
    answer_description{200, "", "The token is not valid any more, if it ever was"}};

constexpr std::array settings_answer{answer_description{200, "settings", "What is on"}};
constexpr std::array health_answer{answer_description{200, "health", "The server answers"}};
constexpr std::array jwks_answer{answer_description{200, "jwks", "Public keys; cached for ten minutes"}};
constexpr std::array openapi_answer{answer_description{200, "openapi", "This description"}};

constexpr std::array rows{
    route_description{.verb = method::post,
                      .pattern = "/signup",
                      .operation = "signUp",
                      .summary = "Make an account and sign in",
                      .body = body_kind::json,
                      .request = "sign_up",
                      .needs_body = false,
                      .answers = token_answer,
                      .errors = signup_errors},
    route_description{.verb = method::post,
                      .pattern = "/token",
                      .operation = "token",
                      .summary = "Sign in by password, or rotate a refresh token",
                      .body = body_kind::json,
                      .request = "grant",
                      .parameters = token_parameters,
                      .answers = token_answer,
                      .errors = token_errors},
    route_description{.verb = method::post,
                      .pattern = "/logout",
                      .operation = "signOut",
                      .summary = "End sessions of the user",
                      .who = access::user,
                      .parameters = logout_parameters,
                      .answers = done},
    route_description{.verb = method::get,
                      .pattern = "/user",
                      .operation = "getUser",
                      .summary = "The signed-in user",
                      .who = access::user,
                      .answers = user_answer},
    route_description{.verb = method::put,
                      .pattern = "/user",
                      .operation = "updateUser",
                      .summary = "Change metadata or password",
                      .who = access::user,
                      .body = body_kind::json,
                      .request = "update_user",
                      .needs_body = false,
                      .answers = user_answer,
                      .errors = put_user_errors},
    route_description{.verb = method::get,
                      .pattern = "/sessions",
                      .operation = "listSessions",
                      .summary = "The user's sessions",
                      .who = access::user,
                      .answers = sessions_answer},
    route_description{.verb = method::del,
                      .pattern = "/sessions",
                      .operation = "endOtherSessions",
                      .summary = "End all sessions but this one",
                      .who = access::user,
                      .parameters = end_sessions_parameters,
                      .answers = done},
    route_description{.verb = method::del,
                      .pattern = "/sessions/{id}",
                      .operation = "endSession",
                      .summary = "End one session of the user",
                      .who = access::user,
                      .answers = done,
                      .errors = end_session_errors},
    route_description{.verb = method::post,
                      .pattern = "/admin/logout_all",
                      .operation = "endEverySession",
                      .summary = "End every session of everybody",
                      .who = access::machine,
                      .answers = logout_all_answer},
    route_description{.verb = method::get,
                      .pattern = "/admin/audit",
                      .operation = "listAuditEvents",
                      .summary = "The audit log, newest first",
                      .who = access::machine,
                      .parameters = audit_parameters,
                      .answers = audit_answer},
    route_description{.verb = method::get,
                      .pattern = "/admin/reports/{name}",
                      .operation = "readReport",
                      .summary = "A page of a report",
                      .who = access::machine,
                      .parameters = report_parameters,
                      .answers = report_answer,
                      .errors = end_session_errors},
    route_description{.verb = method::post,
                      .pattern = "/oauth2/introspect",
                      .operation = "introspect",
                      .summary = "What a token is (RFC 7662)",
                      .who = access::client,
                      .body = body_kind::form,
                      .request = "token_form",
                      .answers = introspect_answer,
                      .is_oauth = true},
    route_description{.verb = method::post,
                      .pattern = "/oauth2/revoke",
                      .operation = "revoke",
                      .summary = "End a token's session (RFC 7009)",
                      .who = access::client,
                      .body = body_kind::form,
                      .request = "token_form",
                      .answers = revoke_answer,
                      .is_oauth = true},
    route_description{.verb = method::get,
                      .pattern = "/settings",
                      .operation = "getSettings",
                      .summary = "What this server offers",
                      .answers = settings_answer},
    route_description{.verb = method::get,
                      .pattern = "/openapi.json",
                      .operation = "getOpenApi",
                      .summary = "This description",
                      .answers = openapi_answer},
    route_description{.verb = method::get,
                      .pattern = "/health",
                      .operation = "getHealth",
                      .summary = "Whether the server answers",
                      .answers = health_answer},
    route_description{.verb = method::get,
                      .pattern = "/.well-known/jwks.json",
                      .operation = "getJwks",
                      .summary = "The keys that verify access tokens",
                      .answers = jwks_answer},
};

// JSON Schema 2020-12. Members GoTrue's clients send and this server ignores are not listed.
constexpr std::string_view time_schema =
    R"({"type":"string","format":"date-time","pattern":"^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z$"})";

constexpr std::array all_schemas{
    named_schema{"time", time_schema},
    named_schema{"uuid", R"({"type":"string","format":"uuid"})"},
    named_schema{"metadata", R"({"type":"object"})"},
    named_schema{"sign_up",
                 R"({"type":"object","properties":{"email":{"type":["string","null"],"maxLength":255},)"
                 R"("phone":{"type":["string","null"],"maxLength":64},"password":{"type":["string","null"]},)"
                 R"("data":{"type":["object","null"]}}})"},
    named_schema{
        "password_grant",
        R"({"type":"object","required":["password"],"properties":{"email":{"type":["string","null"]},)"
        R"("phone":{"type":["string","null"]},"password":{"type":"string"}}})"},
    named_schema{
        "refresh_grant",
        R"({"type":"object","required":["refresh_token"],"properties":{"refresh_token":{"type":"string","minLength":1}}})"},
    named_schema{"grant", R"({"anyOf":[{"$ref":"#/components/schemas/password_grant"},)"
                          R"({"$ref":"#/components/schemas/refresh_grant"}]})"},
    named_schema{
        "update_user",
        R"({"type":"object","properties":{"email":{"type":["string","null"]},"phone":{"type":["string","null"]},)"
        R"("password":{"type":["string","null"]},"current_password":{"type":["string","null"]},)"
        R"("nonce":{"type":["string","null"]},"data":{"type":["object","null"]}}})"},
    named_schema{
        "identity",
        R"({"type":"object","required":["identity_id","id","user_id","identity_data","provider","created_at","updated_at","email"],)"
        R"("properties":{"identity_id":{"$ref":"#/components/schemas/uuid"},"id":{"type":"string"},)"
        R"("user_id":{"$ref":"#/components/schemas/uuid"},"identity_data":{"$ref":"#/components/schemas/metadata"},)"
        R"("provider":{"type":"string"},"last_sign_in_at":{"$ref":"#/components/schemas/time"},)"
        R"("created_at":{"$ref":"#/components/schemas/time"},"updated_at":{"$ref":"#/components/schemas/time"},)"
        R"("email":{"type":"string"}},"additionalProperties":false})"},
    named_schema{
        "user",
        R"({"type":"object","required":["id","aud","role","email","phone","app_metadata","user_metadata","identities",)"
        R"("created_at","updated_at","is_anonymous"],"properties":{"id":{"$ref":"#/components/schemas/uuid"},)"
        R"("aud":{"type":"string"},"role":{"type":"string"},"email":{"type":"string"},"phone":{"type":"string"},)"
        R"("email_confirmed_at":{"$ref":"#/components/schemas/time"},"phone_confirmed_at":{"$ref":"#/components/schemas/time"},)"
        R"("confirmed_at":{"$ref":"#/components/schemas/time"},"confirmation_sent_at":{"$ref":"#/components/schemas/time"},)"
        R"("recovery_sent_at":{"$ref":"#/components/schemas/time"},"invited_at":{"$ref":"#/components/schemas/time"},)"
        R"("new_email":{"type":"string"},"email_change_sent_at":{"$ref":"#/components/schemas/time"},)"
        R"("new_phone":{"type":"string"},"phone_change_sent_at":{"$ref":"#/components/schemas/time"},)"
        R"("reauthentication_sent_at":{"$ref":"#/components/schemas/time"},"last_sign_in_at":{"$ref":"#/components/schemas/time"},)"
        R"("app_metadata":{"$ref":"#/components/schemas/metadata"},"user_metadata":{"$ref":"#/components/schemas/metadata"},)"
        R"("identities":{"type":"array","items":{"$ref":"#/components/schemas/identity"}},"factors":{"type":"array"},)"
        R"("created_at":{"$ref":"#/components/schemas/time"},"updated_at":{"$ref":"#/components/schemas/time"},)"
        R"("banned_until":{"$ref":"#/components/schemas/time"},"deleted_at":{"$ref":"#/components/schemas/time"},)"
        R"("is_anonymous":{"type":"boolean"}},"additionalProperties":false})"},
    named_schema{
        "weak_password",
        R"({"type":"object","required":["message","reasons"],"properties":{"message":{"type":"string","minLength":1},)"
        R"("reasons":{"type":"array","minItems":1,"items":{"type":"string","enum":["length","characters","pwned"]}}},)"
        R"("additionalProperties":false})"},
    named_schema{
        "token_response",
        R"({"type":"object","required":["access_token","token_type","expires_in","expires_at","refresh_token","user"],)"
        R"("properties":{"access_token":{"type":"string"},"token_type":{"type":"string","const":"bearer"},)"
        R"("expires_in":{"type":"integer","minimum":1},"expires_at":{"type":"integer"},"refresh_token":{"type":"string"},)"
        R"("user":{"$ref":"#/components/schemas/user"},"weak_password":{"$ref":"#/components/schemas/weak_password"}},)"
        R"("additionalProperties":false})"},
    named_schema{
        "session",
        R"({"type":"object","required":["id","current","created_at","refreshed_at","expires_at","idle_expires_at","aal","amr"],)"
        R"("properties":{"id":{"$ref":"#/components/schemas/uuid"},"current":{"type":"boolean"},)"
        R"("created_at":{"$ref":"#/components/schemas/time"},"refreshed_at":{"$ref":"#/components/schemas/time"},)"
        R"("expires_at":{"$ref":"#/components/schemas/time"},"idle_expires_at":{"$ref":"#/components/schemas/time"},)"
        R"("aal":{"type":"string","enum":["aal1","aal2"]},"amr":{"type":"array","items":{"type":"object",)"
        R"("required":["method","timestamp"],"properties":{"method":{"type":"string"},"timestamp":{"type":"integer"}}}},)"
        R"("ip":{"type":"string"},"user_agent":{"type":"string"},"client_id":{"type":"string"}},"additionalProperties":false})"},
    named_schema{"sessions",
                 R"({"type":"object","required":["sessions"],"properties":{"sessions":{"type":"array",)"
                 R"("items":{"$ref":"#/components/schemas/session"}}}})"},
    named_schema{
        "settings",
        R"({"type":"object","required":["external","disable_signup","mailer_autoconfirm","phone_autoconfirm","sms_provider",)"
        R"("saml_enabled","passkeys_enabled"],"properties":{"external":{"type":"object","required":["anonymous_users","email","phone"],)"
        R"("additionalProperties":{"type":"boolean"}},"disable_signup":{"type":"boolean"},"mailer_autoconfirm":{"type":"boolean"},)"
        R"("phone_autoconfirm":{"type":"boolean"},"sms_provider":{"type":"string"},"saml_enabled":{"type":"boolean"},)"
        R"("passkeys_enabled":{"type":"boolean"}}})"},
    named_schema{
        "health",
        R"({"type":"object","required":["name","description","status"],"properties":{"name":{"type":"string"},)"
        R"("description":{"type":"string"},"status":{"type":"string","const":"ok"}}})"},
    named_schema{
        "jwks",
        R"({"type":"object","required":["keys"],"properties":{"keys":{"type":"array","items":{"type":"object",)"
        R"("required":["kty","kid","alg","use","key_ops"],"properties":{"kty":{"type":"string"},"kid":{"type":"string"},)"
        R"("alg":{"type":"string"},"use":{"type":"string","const":"sig"},"key_ops":{"type":"array",)"
        R"("items":{"type":"string","const":"verify"}},"d":false,"p":false,"q":false,"k":false}}}}})"},
    named_schema{"logout_all",
                 R"({"type":"object","required":["tokens_valid_after"],)"
                 R"("properties":{"tokens_valid_after":{"$ref":"#/components/schemas/time"}}})"},
    named_schema{"pagination",
                 R"({"type":"object","required":["has_more"],"properties":{"has_more":{"type":"boolean"},)"
                 R"("next_cursor":{"type":"string"}},"additionalProperties":false})"},
    named_schema{
        "audit",
        R"({"type":"object","required":["events","pagination"],"properties":{"events":{"type":"array","items":{"type":"object",)"
        R"("required":["id","account_id","occurred_at","kind","success","detail"],"properties":{)"
        R"("id":{"$ref":"#/components/schemas/uuid"},"account_id":{"$ref":"#/components/schemas/uuid"},)"
        R"("occurred_at":{"$ref":"#/components/schemas/time"},"kind":{"type":"string"},"success":{"type":"boolean"},)"
        R"("session_id":{"$ref":"#/components/schemas/uuid"},"ip":{"type":"string"},"country":{"type":"string"},)"
        R"("request_id":{"type":"string"},"actor":{"type":"string"},"detail":{"type":"object"}},"additionalProperties":false}},)"
        R"("pagination":{"$ref":"#/components/schemas/pagination"}},"additionalProperties":false})"},
    named_schema{"report",
                 R"({"type":"object","required":["rows","pagination"],"properties":{"rows":{"type":"array",)"
                 R"("items":{"type":"object"}},"pagination":{"$ref":"#/components/schemas/pagination"}}})"},
    named_schema{
        "token_form",
        R"({"type":"object","required":["token"],"properties":{"token":{"type":"string","minLength":1},)"
        R"("token_type_hint":{"type":"string"}}})"},
    named_schema{
        "introspection",
        R"({"type":"object","required":["active"],"properties":{"active":{"type":"boolean"},"iss":{"type":"string"},)"
        R"("sub":{"type":"string"},"aud":{"type":"string"},"exp":{"type":"integer"},"iat":{"type":"integer"},)"
        R"("token_type":{"type":"string"},"username":{"type":"string"}}})"},
    named_schema{"oauth_error",
                 R"({"type":"object","required":["error"],"properties":{"error":{"type":"string"},)"
                 R"("error_description":{"type":"string"}},"additionalProperties":false})"},
    named_schema{"openapi", R"({"type":"object","required":["openapi","info","paths"]})"},
    named_schema{
        "problem",
        R"({"type":"object","required":["type","title","status","detail","code","error_code","msg","message","request_id"],)"
        R"("properties":{"type":{"type":"string"},"title":{"type":"string"},"status":{"type":"integer"},"detail":{"type":"string"},)"
        R"("code":{"type":["string","integer"]},"error_code":{"type":"string"},"msg":{"type":"string"},"message":{"type":"string"},)"
        R"("request_id":{"type":"string"},"reason":{"type":"string"},"may_have_happened":{"type":"boolean"},"errors":{"type":"array","items":{"type":"object",)"
        R"("required":["pointer","reason"],"properties":{"pointer":{"type":"string"},"reason":{"type":"string"}},)"
        R"("additionalProperties":false}},"weak_password":{"$ref":"#/components/schemas/weak_password"}},"additionalProperties":false})"},
};

}  // namespace

std::span<const route_description> route_descriptions() {
  return rows;
}

std::span<const named_schema> schemas() {
  return all_schemas;
}

}  // namespace pam::api
