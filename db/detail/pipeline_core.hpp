#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "db/detail/counter.hpp"
#include "db/detail/entry.hpp"
#include "db/error.hpp"

namespace pam::db::detail {

/// What one channel (pipelined connection) may do.
struct channel_rules {
  std::size_t batches_in_flight = 1;
  bool atomic_batches = true;  ///< false on Citus: statements before a failed one stay committed
};

struct core_limits {
  std::size_t channels = 1;
  std::size_t queue = 4096;             ///< entries not sent
  std::size_t batch = 64;               ///< entries under one Sync
  std::size_t batch_bytes = 64 * 1024;  ///< parameter bytes under one Sync; one entry always fits
  /// So many calls of one write travel as one statement: three cost as one what they cost for themselves.
  std::size_t writes_together = 4;
  /// How much longer than its deadline a write is waited for whose fate is open: it was sent, so that
  /// "unknown" would be the only honest answer. Reads, and what was never sent, get none of it.
  std::chrono::milliseconds outcome_grace{0};
};

struct core_counters {
  counter sent, executed, failed, resent, together, batches, queue_full, expired, data_errors, queued,
      in_flight;
};

/// Shared queue and group commit of several pipelined connections, as a pure state machine: no I/O, no
/// clock, no allocation a call once warm.
///
/// An entry is queued -> sent -> finished, and finishes only when its batch's Sync arrived. An abandoned
/// entry (caller gone, deadline passed) is dropped from the queue, or, once sent, stays in its batch
/// until the Sync and its late result is discarded.
///
/// Calls of one statement that a batch holds several of make a run (`statement::options::together`): they
/// travel as one statement, whose answer is that of all. If it fails, each goes out again for itself. Those
/// of a write have a row each, and stand in the order in which rows are locked.
///
/// The driver feeds what libpq reports: `executed`, `rejected`, `aborted` for one run each (mostly of one
/// entry), in order, then `synced`. A `false` answer means that the report cannot be: the connection is
/// broken and must be closed and `lose`d. After every call the driver collects the effects.
class pipeline_core {
 public:
  /// A statement that was under way on this many lost connections may be what kills them.
  static constexpr std::uint8_t losses_before_alone = 2;

  using channel = std::size_t;

  struct effects {
    std::vector<entry*> finished;  ///< answer these callers, in this order
    std::vector<entry*> released;  ///< the core refers to these no longer
  };

  /// @param seed  of the jitter of lock-timeout backoff
  explicit pipeline_core(const core_limits& limits, std::uint64_t seed = 1);

  // Callers
  /// Queues an entry; false when the queue is full (the core then has not taken it).
  [[nodiscard]] bool submit(entry& item);
  /// The caller left: no effect `finished` follows; `released` may follow at once.
  void abandon(entry& item);
  /// Finishes what is overdue and requeues what has backed off long enough.
  void tick(time_point now);
  /// When `tick` has something to do next.
  [[nodiscard]] std::optional<time_point> next_tick() const;
  /// No entry is requeued any more; everything not sent finishes with `closed`.
  void shut_down();

  // Channels
  void open(channel which, const channel_rules& rules);
  /// Sends nothing more on this channel; batches under way still finish.
  void pause(channel which);
  /// The connection is gone. Entries that are safe to repeat, or certainly rolled back, queue again.
  void lose(channel which, time_point now);
  [[nodiscard]] bool is_open(channel which) const { return lanes_[which].is_open; }
  [[nodiscard]] const channel_rules& rules(channel which) const { return lanes_[which].rules; }

  // Sending
  /// The least loaded channel that may send, when there is something to send.
  [[nodiscard]] std::optional<channel> ready_channel() const;
  /// The entries of the next batch, in the order to send them; empty when all were overdue. Valid until
  /// the next call. They are in flight from now on, whether sending succeeds or not.
  std::span<entry* const> take_batch(channel which, time_point now);

  // Answers
  /// The first entry of the run the next report belongs to; null when only the Sync is missing.
  [[nodiscard]] entry* answering(channel which) const;
  /// The whole of that run; empty when only the Sync is missing.
  [[nodiscard]] std::span<entry* const> answering_run(channel which) const;
  [[nodiscard]] bool executed(channel which);
  /// The entry `answering()`, or without one the Sync itself (deferred constraint, serialization), failed.
  [[nodiscard]] bool rejected(channel which, error failure);
  [[nodiscard]] bool aborted(channel which);
  [[nodiscard]] bool synced(channel which, time_point now);

  /// Moves the effects since the last call into `into`, whose old content is dropped.
  void collect(effects& into);

  [[nodiscard]] std::size_t queued() const { return queued_; }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool is_idle() const { return queued_ == 0 && in_flight_ == 0; }
  /// False when no answer is awaited and nothing queued can be sent: only another channel helps.
  [[nodiscard]] bool is_progressing() const;
  /// True when the channel's last failure says that it talks to the wrong server (25006, 57P0x).
  [[nodiscard]] bool has_moved(channel which) const { return lanes_[which].has_moved; }
  /// True when a paused channel has nothing under way any more: its connection is of no further use.
  [[nodiscard]] bool is_drained(channel which) const {
    const lane& on = lanes_[which];
    return on.is_open && on.is_paused && on.flights.empty();
  }
  [[nodiscard]] std::size_t batches_in_flight(channel which) const { return lanes_[which].flights.size(); }
  /// Since when the server works on the oldest unanswered batch, for the stall limit.
  [[nodiscard]] std::optional<time_point> oldest_sent(channel which) const;
  [[nodiscard]] const core_counters& counters() const { return counters_; }

 private:
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  using entries = std::vector<entry*>;

  /// A batch under way.
  struct flight {
    entries items;
    std::size_t answered = 0;
    std::size_t culprit = none;
    std::optional<error> failure;  ///< the culprit's, or without one the Sync's
    time_point sent_at;            ///< or when the batch before it was answered, if that is later
  };
  struct lane {
    bool is_open = false;
    bool is_paused = false;
    bool has_moved = false;
    channel_rules rules;
    std::deque<flight> flights;
  };

  void enqueue(entry& item);             ///< by its order of submission
  void hold(entry& item, place where);   ///< bookkeeping of entering the queue
  void leave_queue(entry& item);         ///< takes it out of whichever queue it is in
  void take(entry& item, flight& into);  ///< queue -> flight
  void finish_ok(entry& item);
  void finish(entry& item, error failure);  ///< answers the caller, if it still waits
  void release(entry& item);
  void land(entry& item) { --in_flight_, item.place = place::nowhere; }
  void fill(flight& batch);
  void fill_alone(flight& batch);
  void fill_shared(flight& batch);
  void mark_runs(const lane& on, flight& batch);
  void publish();

  enum class fate : std::uint8_t { is_settled, goes_along };
  void settle_failed(lane& on, flight& batch, time_point now);
  void settle_run(lane& on, flight& batch, entries::iterator first);
  [[nodiscard]] std::size_t run_from(const lane& on, std::span<entry* const> rest) const;
  void settle_sync_failure(lane& on, flight& batch, time_point now);
  fate settle_culprit(const lane& on, entry& culprit, const error& failure, time_point now);
  void settle_fellows(const entry& culprit, std::span<entry* const> fellows, const error& failure,
                      time_point now);
  bool backs_off(entry& item, time_point until);
  bool awaits_outcome(entry& item);
  void count_data_error(entry& culprit, const error& failure, std::size_t batch_size);
  void resend(entries::iterator first, entries::iterator last);
  void lose_entry(entry& item, bool is_rolled_back);
  std::chrono::milliseconds backoff(unsigned tries);

  core_limits limits_;
  std::uint64_t random_;
  std::uint64_t next_sequence_ = 1;
  bool is_shut_down_ = false;
  std::size_t queued_ = 0;
  std::size_t in_flight_ = 0;
  entry_list shared_;
  entry_list alone_;
  std::deque<entries> groups_;
  waiting_heap waiting_;
  place turn_ = place::nowhere;  ///< which of shared and alone was passed over last
  deadline_heap deadlines_;
  std::vector<lane> lanes_;
  std::vector<entries> spare_;  ///< vectors of finished batches, kept for their memory
  std::unordered_map<const statement*, statement_traits> traits_;
  effects effects_;
  core_counters counters_;
};

}  // namespace pam::db::detail
