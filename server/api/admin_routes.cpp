// POST /admin/logout_all. Every route here begins with require_machine().
#include <utility>

#include "protocol/json_writer.hpp"
#include "server/api/answers.hpp"
#include "server/api/conversions.hpp"
#include "server/api/machine.hpp"
#include "server/api/routes.hpp"

namespace pam::api {

boost::asio::awaitable<void> post_logout_all(service& application, net::request_context& request) {
  const auto caller = require_machine(application, request);
  if (!caller) co_return;
  auth::administrator by{.actor = caller->subject, .place = place_of(request)};
  auto cut = co_await application.sessions().end_everybody(std::move(by), request.deadline);
  if (cut.has_error()) {
    answer_error(application, request, cut.error(), origin::other);
    co_return;
  }
  application.watcher().administered(request, caller->subject, "logout_all");
  std::string body;
  protocol::json_writer json{body};
  json.begin_object();
  json.member("tokens_valid_after", protocol::to_rfc3339(*cut));
  json.end_object();
  answer_json(request, std::move(body));
}

}  // namespace pam::api
