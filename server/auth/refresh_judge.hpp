#pragma once

#include <cstdint>
#include <optional>

#include "server/auth/types.hpp"

namespace pam::auth {

/// A session row as the judge sees it, with the account's state folded in.
struct judged_row {
  std::uint32_t generation = 0;
  std::int16_t repeats = 0;  ///< identical successors handed out beyond the reuse interval
  timestamp refreshed_at{};
  timestamp expires_at{};
  timestamp absolute_expires_at{};
  bool is_revoked = false;
  bool is_account_gone = false;  ///< deleted, or its sessions are older than `tokens_valid_after`
  bool is_account_banned = false;
};

/// What to do with a genuine refresh token that is not simply the row's current one.
enum class verdict : std::uint8_t {
  not_found,  ///< no row, or the salt is not the session's: write nothing, answer refresh_token_not_found
  unproven,   ///< like not_found, and counted as an alarm: our refresh key may be out
  ended,      ///< the session was revoked or its account deleted
  expired,    ///< idle or absolute end
  banned,
  rotate_again,    ///< it *is* the current token: the row changed between UPDATE and SELECT
  repeat,          ///< hand out the identical successor, nothing is written
  repeat_counted,  ///< likewise, but one of the few repeats of the lost-response window is used up
  resync,          ///< proven and ahead of the row: a failover or restore lost rotations
  theft,           ///< an older token came back: end the session
};

/// How many times a successor is handed out again after `reuse_interval`.
inline constexpr std::int16_t max_counted_repeats = 3;

/// Judges a refresh token whose HMAC was verified but whose rotation matched no row. Pure.
///
/// The order matters: nothing is decided about a session before the salt is proven, so that a stolen
/// refresh key alone can neither end a session nor learn its state.
/// @param row         nullopt when there is no such session
/// @param generation  the presented token's
/// @param is_proven   the row's current hash was recomputed from the presented salt
/// @param now         the server's clock; a row refreshed "after" now counts as refreshed now
/// Source: architecture.md, Tokens and keys; RFC 9700 section 4.14.2.
[[nodiscard]] verdict judge(const std::optional<judged_row>& row, std::uint32_t generation, bool is_proven,
                            timestamp now, const session_policy& policy);

}  // namespace pam::auth
