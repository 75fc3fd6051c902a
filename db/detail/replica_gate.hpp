#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <optional>
#include <unordered_map>
#include <vector>

#include <boost/functional/hash.hpp>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_hash.hpp>

#include "db/wal_position.hpp"

namespace pam::db::detail {

struct gate_limits {
  using time = std::chrono::milliseconds;
  std::size_t accounts = 65'536;  ///< marks kept; the oldest goes first
  time mark_lifetime{30'000};
  time stranger_time{2'000};  ///< an account without a mark is read on the primary for so long
  time ejected_lag{1'000};    ///< a replica that is further behind, or silent for so long, is out
  std::uint64_t ejected_bytes = 16U << 20U;
  time readmitted_lag{200};
  time wait{20};  ///< a read waits at most this long for a replica
};

/// Decides whether a replica may answer a read, so that no read is stale: pure, times and log positions
/// are passed in.
///
/// A read needs a place in the primary's log, and a replica may answer once it has replayed that far.
/// The place is, in this order:
/// - the caller's own (`seen`): what the primary said earlier in the same request. Exact, whichever
///   process or shard wrote;
/// - for an account that was marked at time t (it wrote through us, or was first seen then): the first
///   place probed after t. Of an account without a mark others may have just written: it is marked and
///   goes to the primary for `stranger_time`, which is longer than any replica in use is behind.
///
/// A replica is out until it has shown that it follows this primary. Whoever is ahead of the primary does
/// not (it kept what a failover lost), and is out until it has moved again behind the primary.
class replica_gate {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using account_id = boost::uuids::uuid;
  static constexpr std::size_t nobody = static_cast<std::size_t>(-1);

  enum class answer : std::uint8_t {
    replica,  ///< one that has replayed `need`
    primary,  ///< the primary, at once
    wait,     ///< a probe will tell which place is needed
  };
  struct verdict {
    answer where = answer::primary;
    std::uint64_t need = 0;
  };

  replica_gate(const gate_limits& limits, std::size_t replicas) : limits_(limits), replicas_(replicas) {}

  // Probes. `asked` is when the question left, so that the answer is at least as new.
  void note_primary(time_point asked, wal_position flushed);
  /// A standby's replayed place. Every answer of a replica tells one, probes or not.
  void note_replica(std::size_t which, time_point asked, std::uint64_t replayed);
  /// It does not answer, or is no standby.
  void note_lost(std::size_t which);

  // Accounts
  void note_write(const account_id& account, time_point now);

  /// Where a read may go. Marks the account when it has no mark and `seen` is unknown.
  verdict judge(const std::optional<account_id>& account, const wal_position& seen, time_point now);

  /// The replica to ask for something at or after `need`: one known to be there, in turns, else the one
  /// that is nearest and close enough to get there within the wait; `nobody` when there is none.
  std::size_t choose(std::uint64_t need, time_point now);

  /// Puts out who has been silent for too long.
  void tick(time_point now);

  [[nodiscard]] bool is_admitted(std::size_t which) const { return replicas_[which].is_admitted; }
  [[nodiscard]] std::size_t admitted() const;
  [[nodiscard]] std::uint64_t ejections() const { return ejections_; }
  [[nodiscard]] std::size_t marks() const { return marks_.size(); }
  [[nodiscard]] const gate_limits& limits() const { return limits_; }

 private:
  struct probe {
    time_point asked;
    std::uint64_t lsn = 0;
  };
  struct replica {
    bool is_admitted = false;
    bool is_compared = false;               ///< was not ahead of this primary when both were known
    std::optional<std::uint64_t> stuck_at;  ///< where it was when it was ahead
    std::optional<std::uint64_t> replayed;
    time_point asked;
    time_point in_step;  ///< when the primary was last known to be no further than this replica
  };
  struct mark {
    account_id account;
    time_point since;          ///< everything before must be visible
    time_point primary_until;  ///< no replica before
    time_point touched;
  };

  void admit_or_eject(replica& one);
  void eject(replica& one);
  void trim(time_point now);
  mark& touch(const account_id& account, time_point now);

  gate_limits limits_;
  std::vector<replica> replicas_;
  std::deque<probe> probes_;  ///< of the current timeline, oldest first
  std::uint32_t timeline_ = 0;
  std::list<mark> order_;  ///< least recently touched first
  std::unordered_map<account_id, std::list<mark>::iterator, boost::hash<account_id>> marks_;
  std::size_t turn_ = 0;
  std::uint64_t ejections_ = 0;
};

}  // namespace pam::db::detail
