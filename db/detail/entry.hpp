#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "db/error.hpp"
#include "db/params.hpp"
#include "db/statement.hpp"

namespace pam::db::detail {

using time_point = std::chrono::steady_clock::time_point;

/// What all calls of one statement have in common.
struct statement_traits {
  std::uint32_t epoch = 0;        ///< number of plans that became invalid; part of text and name
  std::uint32_t data_errors = 0;  ///< class 22 and 23 failures in batches it shared
  bool runs_alone = false;
};

/// Where an entry is.
enum class place : std::uint8_t {
  nowhere,  ///< not submitted yet, or released
  shared,   ///< queue of statements that may share a batch
  alone,    ///< queue of statements that get a batch of their own
  group,    ///< rolled back with a batch; goes out again with the rest of it
  waiting,  ///< backing off after a lock timeout
  sent,     ///< in a batch whose Sync has not arrived
};

/// One statement under way: what pipeline_core queues, sends and completes. The driver derives its own
/// type, which adds the caller's handler and the rows; the core never looks at those.
///
/// Memory belongs to the driver; between `submit()` and its appearance in `effects::released` the core
/// refers to it, whether its caller still waits or not.
struct entry {
  const statement* what = nullptr;
  params values;
  time_point deadline;

  // Result; valid when the entry appears in `effects::finished`.
  bool has_failed = false;
  error failure;

  // The driver notes how it sent the entry: a failed plan of a named statement is replaced.
  bool was_sent_by_name = false;
  std::uint32_t sent_epoch = 0;

  /// Entries of its batch, from this one on, that travel as one statement (`statement::options::together`); 0
  /// for those which travel with one before them. Set when the batch is taken.
  std::size_t run = 1;

  // The core's own.
  statement_traits* traits = nullptr;
  /// Order of submission; 0: before all others (`statement::options::is_urgent`).
  std::uint64_t sequence = 0;
  entry* previous = nullptr;
  entry* next = nullptr;
  std::size_t deadline_index = 0;  ///< place in the heap of deadlines
  std::size_t waiting_index = 0;   ///< place in the heap of those that back off
  time_point not_before;
  pam::db::detail::place place = place::nowhere;
  bool is_abandoned = false;  ///< its caller has been answered or has left
  bool is_isolated = false;   ///< sent alone from now on: it lost connections or waited for a lock
  bool is_hurried = false;    ///< lost its batch to a row that somebody else had locked
  bool is_apart = false;      ///< travels for itself: the statement it shared with others failed
  bool may_have_run = false;  ///< was in a batch whose fate is unknown
  bool is_awaited = false;    ///< past its deadline, its outcome is still waited for
  std::uint8_t losses = 0;
  std::uint8_t lock_tries = 0;
  std::uint8_t replans = 0;
};

/// The parameter that names the row a statement locks; empty when it names none.
inline std::string_view row_key(const entry& item) {
  const statement::options& opts = item.what->opts;
  if (opts.rank == lock_rank::none || opts.conflict_key < 0) return {};
  return item.values.value(static_cast<std::size_t>(opts.conflict_key));
}

inline bool is_same_row(const entry& a, const entry& b) {
  return a.what->opts.rank == b.what->opts.rank && !row_key(a).empty() && row_key(a) == row_key(b);
}

/// Doubly linked list through the entries themselves: O(1) removal when a caller leaves.
class entry_list {
 public:
  [[nodiscard]] bool empty() const { return head_ == nullptr; }
  [[nodiscard]] entry* front() const { return head_; }

  void push_front(entry& item) { insert_before(head_, item); }
  void push_back(entry& item) { insert_before(nullptr, item); }

  /// Puts an entry that had been taken back where its order of submission says.
  void put_back(entry& item) {
    entry* where = head_;
    while (where != nullptr && where->sequence < item.sequence) where = where->next;
    insert_before(where, item);
  }

  void remove(entry& item) {
    (item.previous == nullptr ? head_ : item.previous->next) = item.next;
    (item.next == nullptr ? tail_ : item.next->previous) = item.previous;
    item.previous = item.next = nullptr;
  }

 private:
  void insert_before(entry* where, entry& item) {
    item.next = where;
    item.previous = where == nullptr ? tail_ : where->previous;
    (item.previous == nullptr ? head_ : item.previous->next) = &item;
    (where == nullptr ? tail_ : where->previous) = &item;
  }
  entry* head_ = nullptr;
  entry* tail_ = nullptr;
};

/// Binary heap of entries by one of their times; each entry knows its place, so that removal is O(log n)
/// and allocates nothing once warm.
template <time_point entry::* Key, std::size_t entry::* Index>
class entry_heap {
 public:
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] entry& top() const { return *items_.front(); }
  void push(entry& item);
  void remove(entry& item);

 private:
  void place_at(std::size_t index, entry* item) {
    items_[index] = item;
    item->*Index = index;
  }
  void rise(std::size_t index);
  void sink(std::size_t index);
  std::vector<entry*> items_;
};

using deadline_heap = entry_heap<&entry::deadline, &entry::deadline_index>;
using waiting_heap = entry_heap<&entry::not_before, &entry::waiting_index>;

extern template class entry_heap<&entry::deadline, &entry::deadline_index>;
extern template class entry_heap<&entry::not_before, &entry::waiting_index>;

}  // namespace pam::db::detail
