#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "server/net/request_context.hpp"
#include "server/net/router.hpp"

namespace pam::api {

/// The 503 of a full cost class, put together once: a refusal must cost next to nothing of what it refuses,
/// and only the request's id differs between two of them.
/// Immutable: may be used from any thread.
class full_answer {
 public:
  /// @param type_base  base of the problem's type, as for `protocol::encode`
  full_answer(net::cost_class cost, std::string_view type_base);

  /// Status, body and fields into `request.out`; the same bytes as `answer` makes of the problem. Not for
  /// routes of OAuth 2.0, whose errors are of another form.
  void answer(net::request_context& request, std::chrono::seconds retry_after) const;

 private:
  struct text {
    std::string body;
    std::size_t id_at = 0;
  };
  static text prepare(net::cost_class cost, bool string_codes, std::string_view type_base);

  text numbers_;  ///< member `code` is the HTTP status
  text strings_;  ///< member `code` is the error's code
};

/// What people read in it.
inline constexpr std::string_view full_detail = "Too many requests are in flight; try again shortly.";

}  // namespace pam::api
