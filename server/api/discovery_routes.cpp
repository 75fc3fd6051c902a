// GET /settings, /health, /.well-known/jwks.json: what anybody may know.
#include "server/api/answers.hpp"
#include "server/api/routes.hpp"
#include "server/api/service.hpp"

namespace pam::api {

void answer_settings(service& application, net::request_context& request) {
  answer_json(request, protocol::encode(application.how().features));
}

void answer_health(service&, net::request_context& request) {
  // Copied into memory that the answer before has left.
  request.out.body = R"({"name":"PAM Auth","description":"account and session server","status":"ok"})";
}

void answer_jwks(service& application, net::request_context& request) {
  answer_json(request, application.tokens().public_jwks());
  request.out.no_store = false;
  request.out.set("Cache-Control", "public, max-age=600");
}

// The same as coroutines, for HEAD.
boost::asio::awaitable<void> get_settings(service& application, net::request_context& request) {
  answer_settings(application, request);
  co_return;
}

boost::asio::awaitable<void> get_health(service& application, net::request_context& request) {
  answer_health(application, request);
  co_return;
}

boost::asio::awaitable<void> get_openapi(service& application, net::request_context& request) {
  request.out.document = application.openapi();
  request.out.no_store = false;
  request.out.set("Cache-Control", "public, max-age=600");
  co_return;
}

boost::asio::awaitable<void> get_jwks(service& application, net::request_context& request) {
  answer_jwks(application, request);
  co_return;
}

}  // namespace pam::api
