#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "db/connect_turns.hpp"
#include "db/wal_position.hpp"

namespace pam::db {

/// What the shards of a process share about replicas, so that one of them asks for all: whose turn it is to
/// connect to one that is away, whose turn it is to look how far a log is, and what was seen.
/// Thread-safe; must outlive the databases that use it.
class replica_watch {
 public:
  using clock = std::chrono::steady_clock;
  /// In the place of a replica's number.
  static constexpr std::size_t of_primary = static_cast<std::size_t>(-1);

  /// How far somebody's log was, at least, when it was asked.
  struct sight {
    std::size_t whose = of_primary;
    clock::time_point asked;
    wal_position at;  ///< flushed by the primary, replayed by a replica (which tells no timeline)
  };
  /// Called on the thread that tells; must only post.
  using listener = std::function<void(const sight&)>;

  /// @param replicas  their number, the same for every database that uses the object
  explicit replica_watch(std::size_t replicas) : connecting_(replicas), looking_(replicas + 1) {}

  [[nodiscard]] connect_turns& connecting(std::size_t replica) { return connecting_[replica]; }
  /// @param whose  a replica's number or `of_primary`
  [[nodiscard]] connect_turns& looking(std::size_t whose) {
    return whose == of_primary ? looking_.back() : looking_[whose];
  }

  /// Hears what others see, until `forget`. @return a number of its own
  [[nodiscard]] std::uint64_t listen(listener to);
  /// Once it returned, the listener is not called any more.
  void forget(std::uint64_t number);
  /// Tells everybody but `teller`.
  void tell(const sight& seen, std::uint64_t teller);

 private:
  std::deque<connect_turns> connecting_;  // neither can be moved
  std::deque<connect_turns> looking_;     // the primary's last
  std::mutex mutex_;                      // held while messages are posted, some twenty times a second
  std::map<std::uint64_t, listener> listeners_;
  std::uint64_t last_number_ = 0;
};

}  // namespace pam::db
