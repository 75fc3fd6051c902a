#include "db/detail/replica_gate.hpp"

#include <algorithm>
#include <iterator>

namespace pam::db::detail {

// ---- probes ----

void replica_gate::note_primary(time_point asked, wal_position flushed) {
  // Another timeline, or a log that has become shorter: another server. What is known of the replicas says
  // nothing about how they stand to this one.
  const bool is_another =
      flushed.timeline != timeline_ || (!probes_.empty() && flushed.lsn < probes_.back().lsn);
  if (is_another) {
    probes_.clear();
    timeline_ = flushed.timeline;
    for (replica& one : replicas_) {
      eject(one);
      one.is_compared = false;
    }
  }
  if (!probes_.empty() && asked < probes_.back().asked) return;  // overtaken
  probes_.push_back({asked, flushed.lsn});
  // The last one before the window is kept: it bounds the lag of whoever stands at it.
  const time_point oldest = asked - limits_.stranger_time;
  while (probes_.size() > 2 && probes_[1].asked < oldest) probes_.pop_front();
  for (replica& one : replicas_) {
    // The log is flushed on the primary before a standby gets it: who was ahead before we asked is not its
    // standby.
    if (!one.replayed || one.asked > asked) continue;
    if (*one.replayed > flushed.lsn) {
      one.stuck_at = one.replayed;
      eject(one);
    } else if (!one.stuck_at) {
      one.is_compared = true;
    }
  }
}

void replica_gate::note_replica(std::size_t which, time_point asked, std::uint64_t replayed) {
  replica& one = replicas_[which];
  if (one.replayed && asked < one.asked) return;
  one.asked = asked;
  one.replayed = replayed;
  // A server that kept what a failover lost stands still; one that moves again follows somebody.
  if (one.stuck_at && replayed != *one.stuck_at) one.stuck_at.reset();
  if (probes_.empty()) return;
  if (replayed >= probes_.back().lsn) {
    one.in_step = asked;
  } else {
    const auto beyond = std::upper_bound(probes_.begin(), probes_.end(), replayed,
                                         [](std::uint64_t at, const probe& of) { return at < of.lsn; });
    one.in_step = beyond == probes_.begin() ? time_point::min() : std::prev(beyond)->asked;
  }
  admit_or_eject(one);
}

void replica_gate::admit_or_eject(replica& one) {
  const std::uint64_t latest = probes_.back().lsn;
  const std::uint64_t behind = latest > *one.replayed ? latest - *one.replayed : 0;
  const bool is_within = behind <= limits_.ejected_bytes;
  // Written so that it cannot overflow with `time_point::min()`.
  const auto is_in_step = [&](gate_limits::time lag) { return one.in_step >= one.asked - lag; };
  if (one.is_admitted) {
    if (!is_within || !is_in_step(limits_.ejected_lag)) eject(one);
  } else {
    one.is_admitted = one.is_compared && !one.stuck_at && is_within && is_in_step(limits_.readmitted_lag);
  }
}

void replica_gate::eject(replica& one) {
  if (!one.is_admitted) return;
  one.is_admitted = false;
  ++ejections_;
}

void replica_gate::note_lost(std::size_t which) {
  replica& one = replicas_[which];
  eject(one);
  // It may come back as an older self: after a crash a standby begins behind what it had replayed.
  one.replayed.reset();
  one.is_compared = false;
  one.stuck_at.reset();
}

void replica_gate::tick(time_point now) {
  for (replica& one : replicas_) {
    if (one.is_admitted && one.asked < now - limits_.ejected_lag) eject(one);
  }
}

std::size_t replica_gate::admitted() const {
  return static_cast<std::size_t>(
      std::count_if(replicas_.begin(), replicas_.end(), [](const replica& one) { return one.is_admitted; }));
}

// ---- accounts ----

void replica_gate::trim(time_point now) {
  while (!order_.empty() &&
         (order_.size() > limits_.accounts || order_.front().touched < now - limits_.mark_lifetime)) {
    marks_.erase(order_.front().account);
    order_.pop_front();
  }
}

replica_gate::mark& replica_gate::touch(const account_id& account, time_point now) {
  const auto known = marks_.find(account);
  if (known != marks_.end()) {
    order_.splice(order_.end(), order_, known->second);
    order_.back().touched = now;
    return order_.back();
  }
  order_.push_back({account, time_point::min(), time_point::min(), now});
  marks_.emplace(account, std::prev(order_.end()));
  return order_.back();
}

void replica_gate::note_write(const account_id& account, time_point now) {
  trim(now);
  mark& its = touch(account, now);
  its.since = std::max(its.since, now);
  trim(now);
}

// ---- reads ----

replica_gate::verdict replica_gate::judge(const std::optional<account_id>& account, const wal_position& seen,
                                          time_point now) {
  verdict decided;
  // Blind: neither where the primary is nor how far behind the replicas are is known.
  const bool is_blind = probes_.empty() || probes_.back().asked < now - limits_.ejected_lag;
  if (seen.is_known()) {
    if (is_blind || seen.timeline != timeline_) return decided;
    return {answer::replica, seen.lsn};
  }
  if (!account) {
    // About nobody in particular: as new as an admitted replica is.
    if (!is_blind) decided.where = answer::replica;
    return decided;
  }
  trim(now);
  mark& its = touch(*account, now);
  if (its.since == time_point::min()) {
    its.since = now;
    its.primary_until = now + limits_.stranger_time;
  }
  trim(now);
  if (now < its.primary_until || is_blind) return decided;
  const auto after = std::upper_bound(probes_.begin(), probes_.end(), its.since,
                                      [](time_point t, const probe& of) { return t < of.asked; });
  if (after == probes_.end()) return {answer::wait, 0};
  return {answer::replica, after->lsn};
}

std::size_t replica_gate::choose(std::uint64_t need, time_point now) {
  tick(now);
  std::size_t nearest = nobody;
  for (std::size_t i = 0; i < replicas_.size(); ++i) {
    const std::size_t which = (turn_ + i) % replicas_.size();
    const replica& one = replicas_[which];
    if (!one.is_admitted) continue;
    if (*one.replayed >= need) {
      turn_ = which + 1;
      return which;
    }
    const bool is_close = one.in_step >= one.asked - limits_.readmitted_lag;
    if (is_close && (nearest == nobody || *one.replayed > *replicas_[nearest].replayed)) nearest = which;
  }
  return nearest;
}

}  // namespace pam::db::detail
