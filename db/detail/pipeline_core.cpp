#include "db/detail/pipeline_core.hpp"

#include <algorithm>
#include <functional>
#include <string_view>
#include <tuple>
#include <utility>

#include "db/detail/failure.hpp"

namespace pam::db::detail {

namespace {

constexpr std::size_t overhead_bytes = 64;  // of a statement beyond its parameters
constexpr std::size_t spare_vectors = 8;

/// Isolated for no other reason than a row that somebody else had locked.
bool waits_for_row(const entry& item) {
  return item.lock_tries != 0 && item.losses < pipeline_core::losses_before_alone &&
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
  item.sequence = item.what->opts.is_urgent ? 0 : next_sequence_++;
  deadlines_.push(item);
  const bool is_alone = item.what->opts.batch == batch::alone || item.traits->runs_alone;
  hold(item, is_alone ? place::alone : place::shared);
  entry_list& queue = is_alone ? alone_ : shared_;
  if (item.what->opts.is_urgent) {
    queue.push_front(item);
  } else {
    queue.push_back(item);
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

}  // namespace pam::db::detail
