#pragma once

#include <algorithm>
#include <cstddef>

namespace pam::auth::detail {

/// A string literal made of several at compile time, for column lists that statements share.
template <std::size_t Size>
struct sql_text {
  char text[Size + 1]{};
  [[nodiscard]] constexpr const char* c_str() const { return text; }
  [[nodiscard]] static constexpr std::size_t size() { return Size; }
};

template <std::size_t... N>
constexpr auto sql(const char (&... part)[N]) {
  sql_text<((N - 1) + ...)> joined;
  std::size_t at = 0;
  const auto append = [&](const char* text, std::size_t length) {
    for (std::size_t i = 0; i < length; ++i) joined.text[at++] = text[i];
  };
  (append(part, N - 1), ...);
  return joined;
}

/// A part of a statement for one caller as that for several has it (`db::statement::options::together`): its
/// `$n` become `k.pn`.
template <const auto& Text>
constexpr auto of_each_caller() {
  constexpr std::size_t length = sizeof(Text) - 1;
  sql_text<length + 2 * static_cast<std::size_t>(std::count(Text, Text + length, '$'))> made;
  std::size_t at = 0;
  for (std::size_t i = 0; i < length; ++i) {
    if (Text[i] == '$') {
      for (const char each : {'k', '.', 'p'}) made.text[at++] = each;
    } else {
      made.text[at++] = Text[i];
    }
  }
  return made;
}

/// The columns `read_account` reads, in its order. `a` is accounts.
inline constexpr char account_list[] =
    "a.id, a.email::text, a.phone::text, a.role::text, a.aud::text, a.app_metadata::text, a.metadata::text, "
    "a.email_confirmed_at, a.phone_confirmed_at, a.last_sign_in_at, a.created_at, a.updated_at, "
    "a.banned_until, a.deleted_at, a.is_anonymous";

/// The columns `read_identity` reads. `i` is identities, left-joined: one result row an identity, one
/// row of NULLs when there is none.
inline constexpr char identity_list[] =
    "i.id, i.provider::text, i.provider_id::text, i.identity_data::text, i.email::text, i.last_sign_in_at, "
    "i.created_at, i.updated_at";

/// The columns `read_session` reads. `s` is sessions.
inline constexpr char session_list[] =
    "s.id, s.created_at, s.refreshed_at, s.expires_at, s.absolute_expires_at, s.aal, s.amr::text, "
    "host(s.ip), "
    "s.user_agent::text";

inline constexpr std::size_t account_columns = 15;
inline constexpr std::size_t identity_columns = 8;
inline constexpr std::size_t session_columns = 9;

}  // namespace pam::auth::detail
