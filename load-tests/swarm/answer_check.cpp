#include "load-tests/swarm/answer_check.hpp"

#include <simdjson.h>

#include "load-tests/swarm/population.hpp"
#include "protocol/refresh_token_text.hpp"

namespace pam::load {

struct answer_check::impl {
  simdjson::dom::parser parser;

  /// False when the text is no JSON.
  bool parse(std::string_view text, simdjson::dom::element& into) {
    return parser.parse(text.data(), text.size()).get(into) == simdjson::SUCCESS;
  }
};

namespace {

std::string_view text_of(simdjson::dom::element of, std::string_view member) {
  std::string_view value;
  if (of[member].get(value) != simdjson::SUCCESS) return {};
  return value;
}

}  // namespace

answer_check::answer_check() : impl_(std::make_unique<impl>()) {}
answer_check::~answer_check() = default;

std::string_view answer_check::is_user(std::string_view body, const user_model& who) {
  simdjson::dom::element user;
  if (!impl_->parse(body, user)) return "user: no JSON";
  if (text_of(user, "id") != to_text(who.account)) return "user: another account";
  if (text_of(user, "email") != who.email) return "user: another address";
  return {};
}

std::string_view answer_check::is_session_list(std::string_view body, const user_model& who) {
  simdjson::dom::element root;
  simdjson::dom::array list;
  if (!impl_->parse(body, root) || root["sessions"].get(list) != simdjson::SUCCESS)
    return "sessions: no list";
  if (list.size() != 1) return "sessions: not exactly the one that is open";
  const simdjson::dom::element only = *list.begin();
  bool is_current = false;
  if (only["current"].get(is_current) != simdjson::SUCCESS || !is_current) return "sessions: not current";
  if (text_of(only, "id") != to_text(who.token.session)) return "sessions: another session";
  return {};
}

std::string_view answer_check::read_tokens(std::string_view body, const user_model& who, new_tokens& into) {
  simdjson::dom::element root;
  simdjson::dom::element user;
  if (!impl_->parse(body, root)) return "token: no JSON";
  if (root["user"].get(user) != simdjson::SUCCESS) return "token: no user";
  if (text_of(user, "id") != to_text(who.account)) return "token: another account";
  if (root["expires_at"].get(into.expires_at) != simdjson::SUCCESS) return "token: no expires_at";
  into.access = text_of(root, "access_token");
  if (into.access.empty()) return "token: no access token";
  const auto image = protocol::decode_refresh_token(text_of(root, "refresh_token"));
  if (!image) return "token: no refresh token";
  into.refresh = crypto::parse(*image);
  if (into.refresh.account != who.account) return "token: a refresh token of another account";
  return {};
}

std::string_view answer_check::is_rotation(std::string_view body, const user_model& who, new_tokens& into) {
  if (const std::string_view why = read_tokens(body, who, into); !why.empty()) return why;
  if (into.refresh.session != who.token.session) return "refresh: another session";
  if (into.refresh.salt != who.token.salt) return "refresh: another salt";
  if (into.refresh.generation != who.token.generation + 1) return "refresh: not the next generation";
  return {};
}

std::string_view answer_check::is_sign_in(std::string_view body, const user_model& who, new_tokens& into) {
  if (const std::string_view why = read_tokens(body, who, into); !why.empty()) return why;
  if (into.refresh.session == who.token.session) return "sign-in: the session that has ended";
  if (into.refresh.generation != 0) return "sign-in: not the first generation";
  return {};
}

std::string_view answer_check::is_ended(unsigned status, std::string_view body) {
  simdjson::dom::element problem;
  if (status != 403) return "ended session: let in";
  if (!impl_->parse(body, problem)) return "ended session: no JSON";
  if (text_of(problem, "error_code") != "session_not_found") return "ended session: another error";
  return {};
}

bool answer_check::may_have_happened(std::string_view body) {
  simdjson::dom::element problem;
  if (!impl_->parse(body, problem) || text_of(problem, "error_code") != "over_capacity") return true;
  bool may_have = false;
  return problem["may_have_happened"].get(may_have) == simdjson::SUCCESS && may_have;
}

}  // namespace pam::load
