// Answers: whether they are right, and what a user does with them.
#include <span>
#include <utility>

#include <fmt/format.h>

#include "load-tests/swarm/swarm.hpp"

namespace pam::load {
namespace {

/// The line of a session in the ledger: what the table must say of it.
std::string ledger_line(const user_model& of, bool has_ended) {
  const auto hash = crypto::hash_of(of.token);
  return fmt::format("{},{},{},{},{}\n", to_text(of.token.session), to_text(of.account), of.token.generation,
                     to_hex(hash.data(), hash.size()), has_ended ? "t" : "f");
}

}  // namespace

void swarm::on_readable(swarm_user& of) {
  for (;;) {
    const tls_link::transfer got = of.link.read(std::span<char>(buffer_));
    if (got.what == tls_link::outcome::want_read) return;
    if (got.what != tls_link::outcome::done) {
      if (of.is_busy) return lost(of, "connection lost");
      ++tally_.lost_idle;
      if (comes_back(of)) return;
      return drop(of);
    }
    std::string_view bytes(buffer_.data(), got.bytes);
    if (!of.pending_in.empty()) {
      of.pending_in += bytes;
      bytes = of.pending_in;
    }
    const parsed_answer parsed = parse_answer(bytes);
    if (parsed.is_malformed || !of.is_busy) return fail(of, "malformed answer");
    if (parsed.answer) {
      if (parsed.answer->bytes != bytes.size()) return fail(of, "more than one answer");
      return on_answer(of, *parsed.answer);
    }
    if (of.pending_in.empty()) of.pending_in = bytes;
    if (!of.link.has_pending()) return;
  }
}

void swarm::on_answer(swarm_user& of, const http_answer& answer) {
  now_ = clock::now();
  const bool closes = answer.closes;
  const std::string_view why = judge(of, answer);
  if (!why.empty() && is_told_to_wait(of, answer)) {
    wait_for_turn(of, answer);
  } else if (!why.empty()) {
    // Whoever was told that nothing was done is certain: the table must say so too.
    note_failure(of, why, answer.status != 503 || check_.may_have_happened(answer.body));
    of.pending_in = {};
    if (closes) drop(of);  // an answer that came whole leaves the connection usable
    give_action_up(of);
  } else {
    record(of);
    of.pending_in = {};
    if (closes) drop(of);
    // The token of a session that has ended must be refused from now on: asked at once.
    if (of.doing == operation::sign_out && !closes) {
      of.due = now_;
      return send(of, operation::refused);
    }
    become_free(of);
  }
}

std::string_view swarm::judge(swarm_user& of, const http_answer& answer) {
  new_tokens tokens;
  std::string_view why;
  const unsigned expected = of.doing == operation::sign_out  ? 204
                            : of.doing == operation::refused ? 403
                                                             : 200;
  if (answer.status != expected) {
    if (answer.status == 503) return answer.retry_after ? "503" : "503 without Retry-After";
    if (answer.status < 500 && is_common(of.doing)) count("signed_out");
    if (answer.status >= 500) return "5xx";
    return answer.status == 403 ? "403" : answer.status == 400 ? "400" : "another status";
  }
  switch (of.doing) {
    case operation::connect:
      return "an answer nobody asked for";
    case operation::read:
      return check_.is_user(answer.body, of.model);
    case operation::list:
      return check_.is_session_list(answer.body, of.model);
    case operation::refused:
      return check_.is_ended(answer.status, answer.body);
    case operation::sign_out:
      of.is_signed_in = false;
      if (of.is_certain) ended_.push_back(ledger_line(of.model, true));
      return {};
    case operation::refresh:
      why = check_.is_rotation(answer.body, of.model, tokens);
      break;
    case operation::sign_in:
      why = check_.is_sign_in(answer.body, of.model, tokens);
      // From here on it knows its session; one that an earlier lost answer may have left remains.
      if (why.empty() && !std::exchange(of.is_certain, true)) ++tally_.doubtful;
      break;
  }
  if (why.empty()) of.adopt(std::move(tokens));
  return why;
}

void swarm_user::adopt(new_tokens tokens) {
  model.token = tokens.refresh;
  access = std::move(tokens.access);
  expires_at = tokens.expires_at;
  is_signed_in = true;
}

void swarm::record(swarm_user& of) {
  ++tally_.answered;
  now_tally().answer(of.doing, now_ - of.due, of.takes_part);
  if (of.doing == operation::sign_in) note_entry(of);
}

void swarm::note_failure(swarm_user& of, std::string_view reason, bool may_have_happened) {
  tally_.fail(phase_, of.doing, reason);
  const bool is_write =
      of.doing == operation::refresh || of.doing == operation::sign_in || of.doing == operation::sign_out;
  if (is_write && may_have_happened) of.is_certain = false;
}

// A failed action is not repeated: the user goes on with its next one.
void swarm::give_action_up(swarm_user& of) {
  of.is_busy = false;
  if (std::exchange(of.is_overdue, false)) schedule(of);  // its timer is used up
  try_again(of);
}

/// No answer, or none that can be read: the connection is of no more use.
void swarm::fail(swarm_user& of, std::string_view reason) {
  note_failure(of, reason, true);
  const bool was_connecting = of.doing == operation::connect && of.is_busy;
  if (was_connecting) --handshaking_;
  drop(of);
  if (was_connecting && of.next == clock::time_point{}) {
    of.next = now_;
    of.is_overdue = true;  // nobody is left behind: it tries again later
  }
  give_action_up(of);
}

void swarm::lost(swarm_user& of, std::string_view reason) {
  if (!comes_back(of)) fail(of, reason);
}

void swarm::drop(swarm_user& of) {
  if (of.link.state() == link_state::ready) --connected_;
  of.link.close();
  of.pending_in = {};
  of.pending_out = {};
}

void swarm::become_free(swarm_user& of) {
  of.is_busy = false;
  if (phase_ == phase::down) return;
  if (of.interrupted != operation::connect || of.part != attendance::absent) return go_on(of);
  if (std::exchange(of.is_overdue, false)) return act(of, of.next);
  if (of.wants_storm) act(of, now_);
}

void swarm::write_ledger() {
  if (plan_.ledger.empty()) return;
  std::FILE* const file = std::fopen(plan_.ledger.c_str(), "w");
  if (file == nullptr) throw std::runtime_error("cannot write " + plan_.ledger);
  for (const std::string& line : ended_) std::fputs(line.c_str(), file);
  for (std::uint32_t i = 0; i < plan_.users; ++i) {
    const swarm_user& of = users_[i];
    if (!of.is_certain) ++tally_.doubtful;
    if (of.is_certain && of.is_signed_in) std::fputs(ledger_line(of.model, false).c_str(), file);
  }
  if (std::fclose(file) != 0) throw std::runtime_error("cannot write " + plan_.ledger);
}

}  // namespace pam::load
