// What becomes of a batch that failed, and of the batches of a lost connection.
#include <algorithm>
#include <string_view>
#include <utility>

#include "db/detail/failure.hpp"
#include "db/detail/pipeline_core.hpp"

namespace pam::db::detail {

namespace {

constexpr std::uint32_t data_errors_before_alone = 3;
constexpr std::uint8_t lock_tries_at_most = 8;
constexpr std::uint8_t replans_at_most = 2;

/// Lock not available, serialization failure, deadlock: somebody else's doing, and over soon.
bool is_contention(std::string_view state) {
  return state == "55P03" || state == "40001" || state == "40P01";
}

/// The plan behind a prepared name is gone: result type changed (0A000), name unknown (26000).
bool is_stale_plan(std::string_view state) {
  return state == "0A000" || state == "26000";
}

}  // namespace

void pipeline_core::settle_failed(lane& on, flight& batch, time_point now) {
  if (batch.culprit == none) {
    settle_sync_failure(on, batch, now);
    return;
  }
  auto first = batch.items.begin();
  const auto culprit = first + static_cast<std::ptrdiff_t>(batch.culprit);
  if (!on.rules.atomic_batches) {
    // Citus: what stands before the culprit is committed, what stands behind it never ran.
    for (; first != culprit; ++first) {
      finish_ok(**first);
      release(**first);
    }
  }
  if ((*culprit)->run > 1) {
    settle_run(on, batch, first);
    return;
  }
  count_data_error(**culprit, *batch.failure, batch.items.size());
  const fate next = settle_culprit(on, **culprit, *batch.failure, now);
  if (next == fate::goes_along) {
    resend(first, batch.items.end());
  } else {
    const auto fellows_end = std::find_if_not(
        culprit + 1, batch.items.end(), [&](const entry* item) { return is_same_row(*item, **culprit); });
    const bool is_locked = batch.failure->sqlstate == "55P03" && !is_shut_down_;
    const auto rest = is_locked ? fellows_end : culprit + 1;
    if (is_locked) settle_fellows(**culprit, {culprit + 1, rest}, *batch.failure, now);
    // To the front, and out of what goes again.
    const auto again = std::rotate(first, culprit, rest);
    if (is_locked) std::for_each(again, batch.items.end(), [](entry* item) { item->is_hurried = true; });
    resend(again, batch.items.end());
  }
}

// Several callers' statements failed as one: whose doing it was shows when each goes for itself. The lock
// timeout that it took to learn of a locked row is not waited for a second time.
void pipeline_core::settle_run(lane& on, flight& batch, entries::iterator first) {
  const auto culprit = batch.items.begin() + static_cast<std::ptrdiff_t>(batch.culprit);
  const bool is_news = (*culprit)->was_sent_by_name && (*culprit)->sent_epoch == (*culprit)->traits->epoch;
  if (batch.failure->sqlstate == "0A000" && is_news) ++(*culprit)->traits->epoch;
  const auto end = culprit + static_cast<std::ptrdiff_t>((*culprit)->run);
  if (!on.has_moved) std::for_each(culprit, end, [](entry* item) { item->is_apart = true; });
  if (batch.failure->sqlstate == "55P03") {
    std::for_each(first, batch.items.end(), [](entry* item) { item->is_hurried = true; });
  }
  resend(first, batch.items.end());
}

// Who wants the row that the culprit did not get would not get it either: they wait with it, else each
// of them would hold up the batch once more. The batch is sorted, so that they stand behind the culprit.
void pipeline_core::settle_fellows(const entry& culprit, std::span<entry* const> fellows,
                                   const error& failure, time_point now) {
  const bool waits = culprit.place == place::waiting;
  const time_point until = waits ? culprit.not_before : now + backoff(culprit.lock_tries);
  for (entry* fellow : fellows) {
    if (!fellow->is_abandoned && backs_off(*fellow, until)) continue;
    finish(*fellow, failure);
    release(*fellow);
  }
}

// The commit itself failed and nobody knows because of whom. Halves find out: their size shrinks with
// every round, so that the guilty one stands alone after log2(n)+1 of them at the latest.
void pipeline_core::settle_sync_failure(lane& on, flight& batch, time_point now) {
  const bool is_single = batch.items.size() == 1;
  if (!on.rules.atomic_batches) {
    for (entry* item : batch.items) {
      item->may_have_run = true;  // any of them may be committed on its worker
      finish(*item, *batch.failure);
      release(*item);
    }
  } else if (is_single) {
    entry& item = *batch.items.front();
    if (settle_culprit(on, item, *batch.failure, now) == fate::goes_along) {
      resend(batch.items.begin(), batch.items.end());
    }
  } else {
    const auto middle = batch.items.begin() + static_cast<std::ptrdiff_t>((batch.items.size() + 1) / 2);
    resend(batch.items.begin(), middle);
    resend(middle, batch.items.end());
  }
}

void pipeline_core::count_data_error(entry& culprit, const error& failure, std::size_t batch_size) {
  if (batch_size < 2 || !(failure.is_class("22") || failure.is_class("23"))) return;
  counters_.data_errors.add();
  if (++culprit.traits->data_errors >= data_errors_before_alone) culprit.traits->runs_alone = true;
}

// Answers the culprit, or gives it another try: later (it then stands in `waiting_`) or at once.
pipeline_core::fate pipeline_core::settle_culprit(const lane& on, entry& culprit, const error& failure,
                                                  time_point now) {
  // Citus lost a worker in the middle of it: the one error of a statement's own that leaves it in doubt.
  const bool is_in_doubt = failure.is_class("08") && !on.rules.atomic_batches;
  if (is_in_doubt) culprit.may_have_run = true;
  if (!culprit.is_abandoned && !is_shut_down_) {
    if (says_moved(failure)) return fate::goes_along;  // until its deadline, on a better connection
    if (is_stale_plan(failure.sqlstate) && culprit.was_sent_by_name && culprit.replans < replans_at_most) {
      ++culprit.replans;
      const bool is_news = culprit.sent_epoch == culprit.traits->epoch;
      if (failure.sqlstate == "0A000" && is_news) ++culprit.traits->epoch;
      return fate::goes_along;
    }
    // Contention rolled it back for certain, so that even a statement marked `once` may go again.
    const bool may_wait =
        is_in_doubt ? culprit.what->opts.repeat == repeat::safe : is_contention(failure.sqlstate);
    if (may_wait && backs_off(culprit, now + backoff(culprit.lock_tries))) return fate::is_settled;
  }
  finish(culprit, failure);
  release(culprit);
  return fate::is_settled;
}

bool pipeline_core::backs_off(entry& item, time_point until) {
  if (item.lock_tries >= lock_tries_at_most || until >= item.deadline) return false;
  ++item.lock_tries;
  item.not_before = until;
  item.is_hurried = false;
  item.is_isolated = true;  // its next wait for the lock must not hold up others again
  hold(item, place::waiting);
  waiting_.push(item);
  return true;
}

// Rolled back through no fault of their own: out again at once, together, before newer work.
void pipeline_core::resend(entries::iterator first, entries::iterator last) {
  entries group;
  for (; first != last; ++first) {
    entry& item = **first;
    if (item.is_abandoned) {
      release(item);
    } else if (is_shut_down_) {
      finish(item, failure_of(errc::closed, outcome::not_sent, "closing"));
      release(item);
    } else {
      hold(item, place::group);
      group.push_back(&item);
    }
  }
  if (!group.empty()) groups_.push_back(std::move(group));
}

void pipeline_core::lose(channel which, time_point now) {
  lane& on = lanes_[which];
  on.is_open = false;
  std::deque<flight> flights = std::exchange(on.flights, {});
  for (flight& batch : flights) {
    for (std::size_t i = 0; i < batch.items.size(); ++i) {
      entry& item = *batch.items[i];
      land(item);
      const bool is_of_culprit = batch.failure && batch.culprit != none && i >= batch.culprit &&
                                 i < batch.culprit + batch.items[batch.culprit]->run;
      const bool is_culprit = is_of_culprit && item.run == 1;
      if (is_of_culprit) item.is_apart = true;
      if (is_culprit && settle_culprit(on, item, *batch.failure, now) == fate::is_settled) continue;
      // After an error the server commits nothing of the batch; on Citus what preceded it may be.
      const bool is_behind_culprit = batch.culprit != none && i >= batch.culprit;
      lose_entry(item, batch.failure && (on.rules.atomic_batches || is_behind_culprit));
    }
  }
  tick(now);
}

void pipeline_core::lose_entry(entry& item, bool is_rolled_back) {
  if (!is_rolled_back) {
    item.may_have_run = true;
    if (++item.losses >= losses_before_alone) item.is_isolated = true;
  }
  const bool may_repeat = is_rolled_back || item.what->opts.repeat == repeat::safe;
  if (item.is_abandoned) {
    release(item);
  } else if (may_repeat && !is_shut_down_) {
    enqueue(item);
  } else {
    const errc code = is_shut_down_ ? errc::closed : errc::connection;
    finish(item, failure_of(code, outcome::not_sent, "connection lost"));
    release(item);
  }
}

// 10, 20, 40 ... 320 ms, of which at least half is kept; a linear congruential step is random enough.
std::chrono::milliseconds pipeline_core::backoff(unsigned tries) {
  random_ = random_ * 6364136223846793005U + 1442695040888963407U;
  const std::uint64_t full = std::uint64_t{10} << std::min(tries, 5U);
  return std::chrono::milliseconds{full / 2 + (random_ >> 33U) % (full / 2 + 1)};
}

}  // namespace pam::db::detail
