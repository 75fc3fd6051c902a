// POST /logout, GET and DELETE /sessions, DELETE /sessions/{id}.
#include <optional>
#include <utility>
#include <vector>

#include "protocol/objects.hpp"
#include "server/api/answers.hpp"
#include "server/api/bearer.hpp"
#include "server/api/conversions.hpp"
#include "server/api/routes.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

void answer_invalid(service& application, net::request_context& request, std::string_view detail) {
  protocol::problem what;
  what.code = &codes::validation_failed;
  what.detail = detail;
  answer(application, request, std::move(what));
}

std::optional<auth::sign_out_scope> scope_named(std::string_view name) {
  if (name.empty() || name == "global") return auth::sign_out_scope::global;
  if (name == "local") return auth::sign_out_scope::local;
  if (name == "others") return auth::sign_out_scope::others;
  return std::nullopt;
}

boost::asio::awaitable<void> sign_out(service& application, net::request_context& request, auth::bearer who,
                                      auth::sign_out_scope scope) {
  auto done = co_await application.sessions().sign_out(who, scope, request.deadline);
  if (done.has_error()) {
    answer_error(application, request, done.error(), origin::bearer);
    co_return;
  }
  request.out.status = 204;
}

}  // namespace

boost::asio::awaitable<void> post_logout(service& application, net::request_context& request) {
  const auto scope = scope_named(request.query_value("scope"));
  if (!scope) {
    answer_invalid(application, request, "scope must be global, local or others");
    co_return;
  }
  const auto who = co_await require_bearer(application, request);
  if (who) co_await sign_out(application, request, *who, *scope);
}

boost::asio::awaitable<void> get_sessions(service& application, net::request_context& request) {
  const auto who = verify_bearer(application, request);
  if (!who) co_return;
  auto found = co_await application.sessions().list(*who, request.deadline);
  if (found.has_error()) {
    answer_error(application, request, found.error(), origin::bearer);
    co_return;
  }
  std::vector<protocol::session_info> listed;
  listed.reserve(found->size());
  for (const auth::session& each : *found)
    listed.push_back(to_session_info(each, each.id == who->key.session));
  answer_json(request, protocol::encode(listed));
}

boost::asio::awaitable<void> delete_sessions(service& application, net::request_context& request) {
  if (request.query_value("except") != "current") {
    answer_invalid(application, request,
                   "except=current is required: POST /logout?scope=global ends all sessions");
    co_return;
  }
  const auto who = co_await require_bearer(application, request);
  if (who) co_await sign_out(application, request, *who, auth::sign_out_scope::others);
}

boost::asio::awaitable<void> delete_session(service& application, net::request_context& request) {
  const auto id = protocol::parse_uuid(request.path_parameters[0]);
  if (!id) {
    answer_invalid(application, request, "the session id in the path must be a UUID");
    co_return;
  }
  const auto who = co_await require_bearer(application, request);
  if (!who) co_return;
  auto ended = co_await application.sessions().end(*who, *id, request.deadline);
  if (ended.has_error()) {
    // The bearer's own session is fine here: session_not_found would sign auth-js out. Ours is a 404.
    if (ended.error().code == auth::errc::session_not_found) {
      protocol::problem what;
      what.code = &codes::not_found;
      what.detail = "You have no live session with this id.";
      answer(application, request, std::move(what));
      co_return;
    }
    answer_error(application, request, ended.error(), origin::bearer);
    co_return;
  }
  request.out.status = 204;
}

}  // namespace pam::api
