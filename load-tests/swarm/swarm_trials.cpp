// What happens to many users at once: their connections are lost, or they all sign in.
#include <algorithm>
#include <random>
#include <utility>

#include "load-tests/swarm/swarm.hpp"

namespace pam::load {
namespace {

/// A handshake that failed in a herd is tried again within this many seconds.
constexpr double handshake_pause = 0.2;
/// Connections lost after each turn of the events: 1 ms.
constexpr int losses_per_wake_up = 32;
/// Whoever failed to sign in for another reason than being told to wait tries again after this many seconds.
constexpr double failure_pause = 1;

}  // namespace

void swarm::plan_trial(swarm_user& of, double after, double within) {
  std::uniform_real_distribution<double> when(after, after + std::max(within, 0.001));
  const auto wait = std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(when(random_)));
  timers_.push({now_ + wait, of.index, purpose::trial});
}

void swarm::at_most(std::string_view name, clock::duration value) {
  std::uint64_t& greatest = now_tally().counts[name];
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(value).count();
  greatest = std::max(greatest, static_cast<std::uint64_t>(microseconds));
}

// ---- herd -------------------------------------------------------------------------------------------

void swarm::begin_herd(std::uint32_t count, double seconds) {
  back_within_ = seconds;
  to_lose_ = std::min(count, plan_.users);
  next_to_lose_ = 0;
}

/// At once, for those who lose them; but this process closes sockets for all of them, and users who keep
/// theirs would wait half a second for that, which nobody's server has to do with.
void swarm::lose_some() {
  for (int lost = 0; lost < losses_per_wake_up && to_lose_ > 0;) {
    if (next_to_lose_ == plan_.users) {
      to_lose_ = 0;  // nobody is left
      return;
    }
    swarm_user& of = users_[next_to_lose_++];
    if (of.link.state() != link_state::ready || !comes_back(of)) continue;
    --to_lose_;
    ++lost;
  }
}

/// Takes a lost connection for what it is in a herd: its user comes back and sends again what was not
/// answered. A refresh among it presents a token that may have been used, and must get the same successor.
/// False: not in this phase, or in the middle of signing in or out, which has no second try.
bool swarm::comes_back(swarm_user& of) {
  if (phase_ != phase::herd) return false;
  const bool is_connecting = of.is_busy && of.doing == operation::connect;
  if (of.is_busy && !is_connecting && !is_common(of.doing)) return false;
  if (is_connecting) {
    --handshaking_;
    count("handshakes_repeated");
  } else if (of.is_busy) {
    of.interrupted = of.doing;
    of.interrupted_due = of.due;
    count("requests_repeated");
  }
  if (of.link.state() == link_state::ready) --connected_;
  of.link.abort();
  of.pending_in = {};
  of.pending_out = {};
  of.is_busy = false;
  of.takes_part = true;
  if (!std::exchange(of.is_away, true)) {
    of.left_at = now_;
    ++away_;
    count("dropped");
  }
  plan_trial(of, 0, is_connecting ? handshake_pause : back_within_);
  return true;
}

void swarm::note_return(swarm_user& of) {
  if (!std::exchange(of.is_away, false)) return;
  --away_;
  count("back");
  if (of.link.is_resumed()) count("back_resumed");
  at_most("all_back_us", now_ - of.left_at);
}

// ---- everybody signs in -----------------------------------------------------------------------------

void swarm::begin_leaving(std::uint32_t count, double seconds) {
  enter(phase::login);
  for (std::uint32_t i = 0; i < std::min(count, plan_.users); ++i) {
    swarm_user& of = users_[i];
    of.takes_part = true;
    of.part = attendance::leaving;
    if (std::exchange(of.is_overdue, false)) schedule(of);
    plan_trial(of, 0, seconds);
  }
}

void swarm::begin_login(double known_share) {
  std::bernoulli_distribution is_known(std::clamp(known_share, 0.0, 1.0));
  for (std::uint32_t i = 0; i < plan_.users; ++i) {
    swarm_user& of = users_[i];
    if (of.part != attendance::outside) continue;
    of.part = attendance::entering;
    of.is_known_device = is_known(random_);
    of.left_at = now_;
    plan_trial(of, 0, 0);
  }
}

/// The next step of a user who is free and in the middle of something. Without a connection that is to
/// connect.
void swarm::go_on(swarm_user& of) {
  const bool has_step = of.is_away || of.interrupted != operation::connect ||
                        of.part == attendance::leaving || of.part == attendance::entering;
  if (!has_step) return;
  if (of.part == attendance::leaving && !of.is_signed_in) {
    of.part = attendance::outside;
    ++outside_;
    return;
  }
  if (of.link.state() == link_state::closed) return connect(of);
  if (of.interrupted != operation::connect) {
    of.due = of.interrupted_due;
    return send(of, std::exchange(of.interrupted, operation::connect));
  }
  if (of.part == attendance::leaving) {
    of.due = now_;
    // Who waited for its turn to leave may hold a token that has ended since.
    return send(of, token_left(of) < conduct::refresh_margin ? operation::refresh : operation::sign_out);
  }
  of.due = of.left_at;
  of.asked_at = now_;
  send(of, operation::sign_in);
}

/// While everybody signs in, being told when to come back is a right answer: to bystanders as well.
bool swarm::is_told_to_wait(const swarm_user& of, const http_answer& answer) const {
  return phase_ == phase::login && of.doing == operation::sign_in && answer.retry_after &&
         (answer.status == 503 || answer.status == 429);
}

// Not before the time it was told, and not with everybody else who was told the same. A bystander signs in
// when it acts next.
void swarm::wait_for_turn(swarm_user& of, const http_answer& answer) {
  count(answer.status == 503 ? "told_to_wait_503" : "told_to_wait_429");
  const clock::time_point asked_at = of.part == attendance::entering ? of.asked_at : of.due;
  now_tally().refusals.add(std::chrono::duration_cast<std::chrono::microseconds>(now_ - asked_at));
  if (answer.status == 503 && check_.may_have_happened(answer.body)) of.is_certain = false;
  of.pending_in = {};
  if (answer.closes) drop(of);
  if (of.part != attendance::entering) return give_action_up(of);
  of.is_busy = false;
  const double pause = std::max(1U, *answer.retry_after);
  plan_trial(of, pause, pause);
}

/// A failure is counted; who takes part in the phase goes on all the same.
void swarm::try_again(swarm_user& of) {
  const bool has_step = of.part == attendance::leaving || of.part == attendance::entering;
  if (has_step && phase_ != phase::down) plan_trial(of, failure_pause, failure_pause);
}

void swarm::note_entry(swarm_user& of) {
  if (of.part != attendance::entering) return;
  of.part = attendance::absent;
  --outside_;
  const clock::duration took = now_ - of.left_at;
  (of.is_known_device ? now_tally().known : now_tally().strangers)
      .add(std::chrono::duration_cast<std::chrono::microseconds>(took));
  at_most("all_in_us", took);
}

/// Whoever is outside does nothing else; in a herd nobody signs in.
bool swarm::may_act(const swarm_user& of) const {
  return of.part == attendance::absent && (of.is_signed_in || phase_ != phase::herd);
}

}  // namespace pam::load
