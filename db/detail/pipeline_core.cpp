#include "db/detail/pipeline_core.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <string_view>
#include <tuple>
#include <utility>

namespace pam::db::detail {

namespace {

constexpr std::uint32_t data_errors_before_alone = 3;
constexpr std::uint8_t lock_tries_at_most = 8;
constexpr std::uint8_t replans_at_most = 2;
// A statement that was under way on this many lost connections may be what kills them.
constexpr std::uint8_t losses_before_alone = 2;
constexpr std::size_t overhead_bytes = 64;  // of a statement beyond its parameters
constexpr std::size_t spare_vectors = 8;

error failure_of(errc code, outcome what, std::string_view detail) {
  error failure;
  failure.code = code;
  failure.outcome = what;
  failure.detail = detail;
  return failure;
}

/// Lock not available, serialization failure, deadlock: somebody else's doing, and over soon.
bool is_contention(std::string_view state) {
  return state == "55P03" || state == "40001" || state == "40P01";
}

/// The plan behind a prepared name is gone: result type changed (0A000), name unknown (26000).
bool is_stale_plan(std::string_view state) {
  return state == "0A000" || state == "26000";
}

/// The server is going away or is not the primary any more; the statement itself is not at fault.
bool says_moved(const error& failure) {
  // 55000: a standby has no position to write at (pg_current_wal_flush_lsn); nothing else of ours raises it.
  constexpr std::array<std::string_view, 5> states{"25006", "55000", "57P01", "57P02", "57P03"};
  return std::find(states.begin(), states.end(), failure.sqlstate) != states.end();
}

/// The parameter that names the row a statement locks; empty when it names none.
std::string_view row_key(const entry& item) {
  const statement::options& opts = item.what->opts;
  if (opts.rank == lock_rank::none || opts.conflict_key < 0) return {};
  return item.values.value(static_cast<std::size_t>(opts.conflict_key));
}

bool is_same_row(const entry& a, const entry& b) {
  return a.what->opts.rank == b.what->opts.rank && !row_key(a).empty() && row_key(a) == row_key(b);
}

/// Isolated for no other reason than a row that somebody else had locked.
bool waits_for_row(const entry& item) {
  return item.lock_tries != 0 && item.losses < losses_before_alone &&
         item.what->opts.batch == batch::shared && !item.traits->runs_alone;
}

/// Lock order inside a batch. Reads (no rank) come first: they wait for nobody, and those of one statement
/// stand together, so that one Parse serves them where there are no names.
bool goes_before(const entry& a, const entry& b) {
  const auto lock_key = [](const entry& item) { return std::tuple{item.what->opts.rank, row_key(item)}; };
  if (lock_key(a) != lock_key(b)) return lock_key(a) < lock_key(b);
  if (row_key(a).empty() && a.what != b.what) return std::less<>{}(a.what, b.what);
  return a.sequence < b.sequence;
}

}  // namespace

pipeline_core::pipeline_core(const core_limits& limits, std::uint64_t seed)
    : limits_(limits), random_(seed), lanes_(limits.channels) {}

// ---- callers ----

bool pipeline_core::submit(entry& item) {
  if (queued_ >= limits_.queue || is_shut_down_) {
    counters_.queue_full.add(is_shut_down_ ? 0 : 1);
    return false;
  }
  item.traits = &traits_[item.what];
  item.sequence = next_sequence_++;
  deadlines_.push(item);
  const bool is_alone = item.what->opts.batch == batch::alone || item.traits->runs_alone;
  if (is_alone) {
    hold(item, place::alone);
    alone_.push_back(item);
  } else {
    hold(item, place::shared);
    shared_.push_back(item);
  }
  publish();
  return true;
}

void pipeline_core::abandon(entry& item) {
  if (item.is_abandoned || item.place == place::nowhere) return;
  item.is_abandoned = true;
  deadlines_.remove(item);
  if (item.place == place::sent) return;
  leave_queue(item);
  release(item);
  publish();
}

void pipeline_core::tick(time_point now) {
  while (!deadlines_.empty() && deadlines_.top().deadline <= now) {
    entry& item = deadlines_.top();
    if (awaits_outcome(item)) continue;
    counters_.expired.add();
    const bool was_sent = item.place == place::sent;
    const bool is_served = std::any_of(lanes_.begin(), lanes_.end(), [](const lane& l) { return l.is_open; });
    const errc code = was_sent || is_served ? errc::deadline : errc::unavailable;
    const outcome what = was_sent ? outcome::unknown : outcome::not_sent;
    if (!was_sent) leave_queue(item);
    finish(item, failure_of(code, what, was_sent ? "deadline passed in flight" : "deadline passed in queue"));
    if (!was_sent) release(item);
  }
  while (!waiting_.empty() && waiting_.top().not_before <= now) {
    entry& item = waiting_.top();
    leave_queue(item);
    enqueue(item);
  }
  publish();
}

// Once: what comes after the grace is "unknown".
bool pipeline_core::awaits_outcome(entry& item) {
  const bool is_open = item.place == place::sent || item.may_have_run;
  const bool is_write = item.what->opts.rank != lock_rank::none;
  if (!is_open || !is_write || item.is_awaited || limits_.outcome_grace.count() == 0) return false;
  deadlines_.remove(item);
  item.is_awaited = true;
  item.deadline += limits_.outcome_grace;
  deadlines_.push(item);
  return true;
}

std::optional<time_point> pipeline_core::next_tick() const {
  std::optional<time_point> earliest;
  if (!deadlines_.empty()) earliest = deadlines_.top().deadline;
  if (!waiting_.empty()) {
    const time_point next = waiting_.top().not_before;
    earliest = std::min(earliest.value_or(next), next);
  }
  return earliest;
}

void pipeline_core::shut_down() {
  is_shut_down_ = true;
  const auto drop = [this](entry& item) {
    leave_queue(item);
    finish(item, failure_of(errc::closed, outcome::not_sent, "closing"));
    release(item);
  };
  while (!groups_.empty()) drop(*groups_.front().front());
  while (!waiting_.empty()) drop(waiting_.top());
  while (!shared_.empty()) drop(*shared_.front());
  while (!alone_.empty()) drop(*alone_.front());
  publish();
}

// ---- queues ----

void pipeline_core::hold(entry& item, place where) {
  item.place = where;
  ++queued_;
}

void pipeline_core::enqueue(entry& item) {
  const bool is_alone = item.is_isolated || item.what->opts.batch == batch::alone || item.traits->runs_alone;
  hold(item, is_alone ? place::alone : place::shared);
  (is_alone ? alone_ : shared_).put_back(item);
}

void pipeline_core::leave_queue(entry& item) {
  switch (item.place) {
    case place::shared:
      shared_.remove(item);
      break;
    case place::alone:
      alone_.remove(item);
      break;
    case place::waiting:
      waiting_.remove(item);
      break;
    case place::group:
      for (auto group = groups_.begin(); group != groups_.end(); ++group) {
        if (std::erase(*group, &item) == 0) continue;
        if (group->empty()) groups_.erase(group);
        break;
      }
      break;
    case place::sent:
    case place::nowhere:
      return;
  }
  item.place = place::nowhere;
  --queued_;
}

void pipeline_core::finish_ok(entry& item) {
  if (item.is_abandoned) return;
  item.is_abandoned = true;
  deadlines_.remove(item);
  item.has_failed = false;
  counters_.executed.add();
  effects_.finished.push_back(&item);
}

void pipeline_core::finish(entry& item, error failure) {
  if (item.is_abandoned) return;
  item.is_abandoned = true;
  deadlines_.remove(item);
  item.has_failed = true;
  item.failure = std::move(failure);
  // Whatever became of the last sending: an earlier one may have taken effect.
  if (item.may_have_run) item.failure.outcome = outcome::unknown;
  counters_.failed.add();
  effects_.finished.push_back(&item);
}

void pipeline_core::release(entry& item) {
  effects_.released.push_back(&item);
}

void pipeline_core::publish() {
  counters_.queued.set(queued_);
  counters_.in_flight.set(in_flight_);
}

void pipeline_core::collect(effects& into) {
  into.finished.clear();
  into.released.clear();
  std::swap(into, effects_);
}

// ---- channels and sending ----

void pipeline_core::open(channel which, const channel_rules& rules) {
  lane& on = lanes_[which];
  on.is_open = true;
  on.is_paused = false;
  on.has_moved = false;
  on.rules = rules;
}

void pipeline_core::pause(channel which) {
  lanes_[which].is_paused = true;
}

std::optional<pipeline_core::channel> pipeline_core::ready_channel() const {
  if (groups_.empty() && shared_.empty() && alone_.empty()) return std::nullopt;
  std::optional<channel> best;
  for (channel i = 0; i < lanes_.size(); ++i) {
    const lane& on = lanes_[i];
    if (!on.is_open || on.is_paused || on.flights.size() >= on.rules.batches_in_flight) continue;
    if (!best || on.flights.size() < lanes_[*best].flights.size()) best = i;
  }
  return best;
}

bool pipeline_core::is_progressing() const {
  if (in_flight_ != 0) return true;
  const auto is_fed = [](const lane& on) { return on.is_open && !on.is_paused; };
  return queued_ != 0 && std::any_of(lanes_.begin(), lanes_.end(), is_fed);
}

void pipeline_core::take(entry& item, flight& into) {
  leave_queue(item);
  item.place = place::sent;
  ++in_flight_;
  into.items.push_back(&item);
}

// The older of both goes first, then whoever was passed over: neither starves the other.
void pipeline_core::fill(flight& batch) {
  place chosen = shared_.empty() ? place::alone : place::shared;
  place passed_over = place::nowhere;
  if (!shared_.empty() && !alone_.empty()) {
    const bool is_alone_older = alone_.front()->sequence < shared_.front()->sequence;
    const place older = is_alone_older ? place::alone : place::shared;
    chosen = turn_ == place::nowhere ? older : turn_;
    passed_over = chosen == place::alone ? place::shared : place::alone;
  }
  turn_ = passed_over;
  if (chosen == place::alone) {
    fill_alone(batch);
  } else {
    fill_shared(batch);
  }
}

// Statements that wait for one row wait for it together: one lock timeout is enough for all.
void pipeline_core::fill_alone(flight& batch) {
  entry& first = *alone_.front();
  entry* other = first.next;
  take(first, batch);
  if (!waits_for_row(first)) return;
  while (other != nullptr && batch.items.size() < limits_.batch) {
    entry& item = *std::exchange(other, other->next);
    if (waits_for_row(item) && is_same_row(item, first)) take(item, batch);
  }
}

void pipeline_core::fill_shared(flight& batch) {
  std::size_t bytes = 0;
  while (!shared_.empty() && batch.items.size() < limits_.batch) {
    entry& item = *shared_.front();
    bytes += item.values.bytes() + overhead_bytes;
    if (bytes > limits_.batch_bytes && !batch.items.empty()) break;
    take(item, batch);
  }
  // One order for everybody who locks several rows: two batches cannot wait for each other.
  std::sort(batch.items.begin(), batch.items.end(),
            [](const entry* a, const entry* b) { return goes_before(*a, *b); });
}

// How many entries travel as one statement, from the first on. Not on Citus: keys of several shards in one
// statement need a plan over all of them, and half of it may be done when it fails. Two writes of one row
// never do: an UPDATE changes a row once, and only in the order of the keys it locks as other batches do.
std::size_t pipeline_core::run_from(const lane& on, std::span<entry* const> rest) const {
  const entry& first = *rest.front();
  if (!on.rules.atomic_batches || first.what->opts.together == nullptr || first.is_apart) return 1;
  const bool is_write = first.what->opts.rank != lock_rank::none;
  std::size_t run = 1;
  for (; run < rest.size(); ++run) {
    const entry& next = *rest[run];
    if (next.what != first.what || next.is_apart) break;
    if (is_write && row_key(*rest[run - 1]) >= row_key(next)) break;
  }
  return is_write && run < limits_.writes_together ? 1 : run;
}

void pipeline_core::mark_runs(const lane& on, flight& batch) {
  for (std::span<entry* const> rest{batch.items}; !rest.empty(); rest = rest.subspan(rest.front()->run)) {
    const std::size_t run = run_from(on, rest);
    for (std::size_t i = 1; i < run; ++i) rest[i]->run = 0;
    rest.front()->run = run;
    if (run > 1) counters_.together.add(run);
  }
}

std::span<entry* const> pipeline_core::take_batch(channel which, time_point now) {
  tick(now);
  if (groups_.empty() && shared_.empty() && alone_.empty()) return {};
  flight& batch = lanes_[which].flights.emplace_back();
  if (!spare_.empty()) {
    batch.items = std::move(spare_.back());
    spare_.pop_back();
  }
  batch.sent_at = now;
  if (groups_.empty()) {
    fill(batch);
  } else {
    entries group = std::move(groups_.front());
    groups_.pop_front();
    for (entry* item : group) {
      item->place = place::sent;
      --queued_;
      ++in_flight_;
    }
    counters_.resent.add(group.size());
    batch.items = std::move(group);
  }
  mark_runs(lanes_[which], batch);
  counters_.sent.add(batch.items.size());
  counters_.batches.add();
  publish();
  return batch.items;
}

std::optional<time_point> pipeline_core::oldest_sent(channel which) const {
  const lane& on = lanes_[which];
  if (on.flights.empty()) return std::nullopt;
  return on.flights.front().sent_at;
}

// ---- answers ----

entry* pipeline_core::answering(channel which) const {
  const lane& on = lanes_[which];
  if (on.flights.empty()) return nullptr;
  const flight& batch = on.flights.front();
  return batch.answered < batch.items.size() ? batch.items[batch.answered] : nullptr;
}

std::span<entry* const> pipeline_core::answering_run(channel which) const {
  const entry* const first = answering(which);
  if (first == nullptr) return {};
  const flight& batch = lanes_[which].flights.front();
  return std::span{batch.items}.subspan(batch.answered, first->run);
}

bool pipeline_core::executed(channel which) {
  if (answering(which) == nullptr) return false;
  flight& batch = lanes_[which].flights.front();
  if (batch.failure) return false;  // after an error the server answers nothing before the Sync
  batch.answered += batch.items[batch.answered]->run;
  return true;
}

bool pipeline_core::rejected(channel which, error failure) {
  lane& on = lanes_[which];
  if (on.flights.empty() || on.flights.front().failure) return false;
  flight& batch = on.flights.front();
  if (batch.answered < batch.items.size()) {
    batch.culprit = batch.answered;
    batch.answered += batch.items[batch.culprit]->run;
  }
  if (says_moved(failure)) on.has_moved = on.is_paused = true;
  batch.failure = std::move(failure);
  return true;
}

bool pipeline_core::aborted(channel which) {
  if (answering(which) == nullptr) return false;
  flight& batch = lanes_[which].flights.front();
  if (!batch.failure) return false;
  batch.answered += batch.items[batch.answered]->run;
  return true;
}

bool pipeline_core::synced(channel which, time_point now) {
  lane& on = lanes_[which];
  if (on.flights.empty() || answering(which) != nullptr) return false;
  flight batch = std::move(on.flights.front());
  on.flights.pop_front();
  if (!on.flights.empty()) on.flights.front().sent_at = now;  // it has waited for its turn until now
  for (entry* item : batch.items) land(*item);
  if (batch.failure) {
    settle_failed(on, batch, now);
  } else {
    for (entry* item : batch.items) {
      finish_ok(*item);
      release(*item);
    }
  }
  batch.items.clear();
  if (spare_.size() < spare_vectors) spare_.push_back(std::move(batch.items));
  publish();
  return true;
}

// ---- failures ----

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
