#include "server/api/full_answer.hpp"

#include <algorithm>
#include <stdexcept>

#include "protocol/problem.hpp"
#include "server/api/answers.hpp"

namespace pam::api {

full_answer::full_answer(net::cost_class cost, std::string_view type_base)
    : numbers_(prepare(cost, false, type_base)), strings_(prepare(cost, true, type_base)) {}

full_answer::text full_answer::prepare(net::cost_class cost, bool string_codes, std::string_view type_base) {
  // As long as an id, of a character that JSON leaves alone; a type base of that many is no URI.
  const std::string placeholder(net::request_context{}.request_id.size(), '~');
  protocol::problem what;
  what.code = &protocol::codes::over_capacity;
  what.detail = full_detail;
  what.reason = net::to_string(cost);
  what.request_id = placeholder;
  text made{protocol::encode(what, string_codes, type_base), 0};
  made.id_at = made.body.rfind(placeholder);
  if (made.id_at == std::string::npos) throw std::logic_error("a problem without its request id");
  return made;
}

void full_answer::answer(net::request_context& request, std::chrono::seconds retry_after) const {
  const text& prepared = wants_string_codes(request) ? strings_ : numbers_;
  net::response& out = request.out;
  out.status = protocol::codes::over_capacity.status;
  out.content_type = protocol::problem_content_type;
  out.body = prepared.body;
  std::ranges::copy(request.id(), out.body.begin() + static_cast<std::ptrdiff_t>(prepared.id_at));
  out.set("x-sb-error-code", std::string{protocol::codes::over_capacity.code});
  out.set("Retry-After", std::to_string(retry_after.count()));
}

}  // namespace pam::api
