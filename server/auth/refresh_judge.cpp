#include "server/auth/refresh_judge.hpp"

namespace pam::auth {
namespace {

verdict judge_older(const judged_row& row, std::uint32_t generation, timestamp now,
                    const session_policy& policy) {
  const auto since_rotation = now - row.refreshed_at;
  const std::uint32_t behind = row.generation - generation;
  const bool in_reuse_interval = policy.reuse_interval.count() > 0 && since_rotation <= policy.reuse_interval;

  // Several tabs woken at once may each hold a different one of the last two tokens.
  if (behind <= 2 && in_reuse_interval) return verdict::repeat;

  // A lost response: the successor of this token was never used, so the holder of the parent is owed it.
  const bool in_lost_response_window =
      policy.lost_response_window.count() > 0 && since_rotation <= policy.lost_response_window;
  if (behind == 1 && in_lost_response_window && row.repeats < max_counted_repeats)
    return verdict::repeat_counted;

  return verdict::theft;
}

}  // namespace

verdict judge(const std::optional<judged_row>& row, std::uint32_t generation, bool is_proven, timestamp now,
              const session_policy& policy) {
  if (!row) return verdict::not_found;
  if (!is_proven) return verdict::unproven;
  if (row->is_revoked || row->is_account_gone) return verdict::ended;
  if (row->expires_at <= now || row->absolute_expires_at <= now) return verdict::expired;
  if (row->is_account_banned) return verdict::banned;
  if (generation == row->generation) return verdict::rotate_again;
  if (generation > row->generation) return verdict::resync;
  return judge_older(*row, generation, now, policy);
}

}  // namespace pam::auth
