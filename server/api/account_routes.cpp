// POST /signup, GET /user, PUT /user.
#include <utility>

#include "protocol/requests.hpp"
#include "server/api/answers.hpp"
#include "server/api/bearer.hpp"
#include "server/api/conversions.hpp"
#include "server/api/routes.hpp"
#include "server/auth/email_address.hpp"

namespace pam::api {
namespace {

namespace codes = protocol::codes;

protocol::problem problem_of(const protocol::error_code& code, std::string_view detail) {
  protocol::problem what;
  what.code = &code;
  what.detail = detail;
  return what;
}

/// The credentials of a sign-up, or nullopt when the request has been answered.
std::optional<std::string> sign_up_email(service& application, net::request_context& request,
                                         const protocol::sign_up_request& asked) {
  if (!application.how().features.email) {
    protocol::problem off = problem_of(codes::email_provider_disabled, "Email signups are disabled");
    off.status = 400;
    answer(application, request, std::move(off));
    return std::nullopt;
  }
  if (!asked.email && asked.phone) {
    protocol::problem off = problem_of(codes::phone_provider_disabled, "Phone signups are disabled");
    off.status = 400;
    answer(application, request, std::move(off));
    return std::nullopt;
  }
  if (!asked.email && !asked.password) {
    answer(application, request,
           problem_of(codes::anonymous_provider_disabled, "Anonymous sign-ins are disabled"));
    return std::nullopt;
  }
  if (!asked.email || !asked.password) {
    const bool needs_email = !asked.email;
    protocol::problem what =
        problem_of(codes::validation_failed,
                   needs_email ? "Sign-up needs an email address." : "Signup requires a valid password");
    what.errors.push_back({needs_email ? "/email" : "/password", "required"});
    answer(application, request, std::move(what));
    return std::nullopt;
  }
  auto canonical = auth::canonical_email(*asked.email);
  if (canonical.has_error()) {
    auth::error invalid;
    invalid.code = auth::errc::email_invalid;
    invalid.detail = canonical.error().reason;
    answer_error(application, request, invalid, origin::other);
    return std::nullopt;
  }
  return std::move(*canonical);
}

}  // namespace

boost::asio::awaitable<void> post_signup(service& application, net::request_context& request) {
  if (!has_json_body(application, request)) co_return;
  auto asked = protocol::decode_sign_up(request.body);
  if (asked.has_error()) {
    answer_decode_error(application, request, asked.error());
    co_return;
  }
  auto email = sign_up_email(application, request, *asked);
  if (!email) co_return;

  auth::sign_up_command command;
  command.account = auth::accounts::new_id();
  command.password = crypto::secret{asked->password->view()};
  command.documents.metadata =
      protocol::initial_user_metadata(asked->data.set, *email, command.account, true);
  if (protocol::stored_size(command.documents.metadata) > auth::max_stored_metadata_bytes) {
    auth::error too_large;
    too_large.code = auth::errc::metadata_too_large;
    answer_error(application, request, too_large, origin::other);
    co_return;
  }
  command.documents.app_metadata = R"({"provider":"email","providers":["email"]})";
  command.documents.identity_data = protocol::initial_identity_data(*email, command.account, true);
  command.documents.amr = new_amr("password");
  command.email = std::move(*email);
  command.place = place_of(request);
  auto granted = co_await application.accounts().sign_up(std::move(command), request.deadline);
  if (granted.has_error()) {
    answer_error(application, request, granted.error(), origin::other);
    co_return;
  }
  answer_grant(application, request, std::move(*granted));
}

boost::asio::awaitable<void> get_user(service& application, net::request_context& request) {
  const auto who = verify_bearer(application, request);
  if (!who) co_return;
  auto found = co_await application.sessions().read(*who, request.deadline);
  if (found.has_error()) {
    answer_error(application, request, found.error(), origin::bearer);
    co_return;
  }
  answer_json(request, protocol::encode(to_user(std::move(*found))));
}

boost::asio::awaitable<void> put_user(service& application, net::request_context& request) {
  const auto who = co_await require_bearer(application, request);
  if (!who || !has_json_body(application, request)) co_return;
  auto asked = protocol::decode_update_user(request.body);
  if (asked.has_error()) {
    answer_decode_error(application, request, asked.error());
    co_return;
  }
  if (asked->email || asked->phone) {
    answer(application, request,
           problem_of(codes::feature_disabled,
                      "Changing the email address or phone number is off on this server."));
    co_return;
  }
  auth::update_command command;
  if (asked->data) {
    command.metadata_set = std::move(asked->data->set);
    command.metadata_removed = std::move(asked->data->removed);
  }
  const net::cost_class cost = asked->password ? net::cost_class::hash : net::cost_class::free;
  const auto admitted = application.admit(request, cost);
  if (!admitted) co_return;
  if (asked->password) command.password.emplace(asked->password->view());
  if (asked->current_password) command.current_password.emplace(asked->current_password->view());
  auto updated = co_await application.accounts().update(who->key, std::move(command), request.deadline);
  if (updated.has_error()) {
    answer_error(application, request, updated.error(), origin::bearer);
    co_return;
  }
  answer_json(request, protocol::encode(to_user(std::move(*updated))));
}

}  // namespace pam::api
