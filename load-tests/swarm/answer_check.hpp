#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include <boost/uuid/uuid.hpp>

#include "server/crypto/refresh_token.hpp"

namespace pam::load {

/// What a user believes about itself: every answer is compared with it.
struct user_model {
  boost::uuids::uuid account{};
  std::string email;
  crypto::refresh_token token;  ///< the newest one; names the session and its generation
};

/// What a token response brings.
struct new_tokens {
  crypto::refresh_token refresh;
  std::string access;
  std::int64_t expires_at = 0;  ///< Unix seconds
};

/// Compares answers with the model. Each function returns an empty text when the answer is right, else a
/// short reason; reasons are counted, so they name no user.
class answer_check {
 public:
  answer_check();
  ~answer_check();
  answer_check(const answer_check&) = delete;
  answer_check& operator=(const answer_check&) = delete;

  /// GET /user: this account, this address.
  std::string_view is_user(std::string_view body, const user_model& who);
  /// GET /sessions: the user's one session, marked as the current one.
  std::string_view is_session_list(std::string_view body, const user_model& who);
  /// A refresh: same account, session and salt, the next generation.
  std::string_view is_rotation(std::string_view body, const user_model& who, new_tokens& into);
  /// A sign-in: same account, a session never seen, generation 0.
  std::string_view is_sign_in(std::string_view body, const user_model& who, new_tokens& into);
  /// The refusal of a token whose session has ended.
  std::string_view is_ended(unsigned status, std::string_view body);
  /// Whether a 503 leaves open that what was asked was done; only our own problem document says that it was
  /// not.
  bool may_have_happened(std::string_view body);

 private:
  struct impl;
  std::string_view read_tokens(std::string_view body, const user_model& who, new_tokens& into);
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::load
