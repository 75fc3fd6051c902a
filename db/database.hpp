#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/uuid/uuid.hpp>

#include "async/deadline.hpp"
#include "db/config.hpp"
#include "db/params.hpp"
#include "db/result.hpp"
#include "db/rows.hpp"
#include "db/statement.hpp"
#include "db/wal_position.hpp"

namespace pam::db {

/// Where a statement that only reads may run.
enum class read_from : std::uint8_t {
  primary,
  /// A replica that is certain to show everything the call must see (replica_gate.hpp), else the primary.
  /// Never for refreshes, bearer checks, passwords, revocation, uniqueness.
  replica,
};

/// Options of one call.
struct call_options {
  async::deadline deadline{};
  read_from read = read_from::primary;
  /// Whose rows the statement is about: a write is remembered by it, a read on a replica judged.
  std::optional<boost::uuids::uuid> account{};
  /// What the primary said earlier on behalf of the same request: a replica must have got so far. Better
  /// than `account`, which knows only of the writes of this object.
  wal_position seen{};
};

struct tx_options {
  async::deadline deadline{};
  bool is_read_only = false;
  std::optional<boost::uuids::uuid> account{};  ///< remembered as written at the commit
};

/// What was learned about the server at connect time.
struct capabilities {
  pooler_mode mode = pooler_mode::pgbouncer_safe;
  int server_version = 0;      ///< as PQserverVersion: 150018
  bool atomic_batches = true;  ///< false on Citus
};

/// Counters since start; a snapshot, readable from any thread.
struct statistics {
  std::uint64_t statements_sent = 0;      ///< every transmission, repeats included
  std::uint64_t statements_executed = 0;  ///< completed with rows
  std::uint64_t statements_failed = 0;    ///< completed with an error
  std::uint64_t statements_resent = 0;    ///< sent again after another statement failed their batch
  std::uint64_t statements_together = 0;  ///< sent as one with others (statement::options::together)
  std::uint64_t batches = 0;              ///< Syncs sent
  std::uint64_t rejected_queue_full = 0;
  std::uint64_t expired = 0;      ///< deadline passed while queued or in flight
  std::uint64_t data_errors = 0;  ///< SQLSTATE class 22 or 23 in a shared batch: our bug
  std::uint64_t connects = 0;
  std::uint64_t disconnects = 0;
  std::uint64_t queued = 0;             ///< now
  std::uint64_t in_flight = 0;          ///< now
  std::uint64_t connections_ready = 0;  ///< now
  std::uint64_t leases_in_use = 0;      ///< now
  std::uint64_t lease_waiters = 0;      ///< now
  std::uint64_t replica_reads = 0;      ///< reads that a replica answered
  std::uint64_t replica_fallbacks = 0;  ///< reads that might have been a replica's, answered by the primary
  std::uint64_t replica_waits = 0;      ///< reads that waited for a replica, whoever answered in the end
  std::uint64_t replica_ejections = 0;
  std::uint64_t replicas_admitted = 0;  ///< now
};

class database;

/// One transaction on a leased connection. Rolled back when it dies unfinished. The shard's own.
class transaction {
 public:
  transaction(transaction&&) noexcept;
  transaction& operator=(transaction&&) noexcept;
  transaction(const transaction&) = delete;
  transaction& operator=(const transaction&) = delete;
  ~transaction();

  /// Runs one statement inside the transaction.
  boost::asio::awaitable<result<rows>> execute(const statement& what, params values);
  /// Commits. An error with `outcome::unknown` means the commit may have happened.
  boost::asio::awaitable<result<void>> commit();
  boost::asio::awaitable<void> rollback();

 private:
  friend class database;
  struct impl;
  explicit transaction(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

/// One shard's way to PostgreSQL: shared pipelines with group commit, and leased connections.
///
/// Everything queued when a connection may send leaves together under one Sync; a statement completes
/// when its batch's Sync arrived, hence when it is committed.
/// Shard: construct, call and destroy on the shard's thread, except `stats()`.
class database {
 public:
  /// @param catalogue  every statement the caller will ever execute; must outlive the object
  database(boost::asio::io_context& context, config settings, std::span<const statement* const> catalogue);
  ~database();
  database(const database&) = delete;
  database& operator=(const database&) = delete;

  /// Connects the pipelines and learns the pooler's mode. Returns once one connection serves, or with
  /// the last failure when `deadline` passed; connecting then goes on in the background.
  boost::asio::awaitable<result<void>> start(async::deadline deadline);

  /// Runs one statement on a shared pipeline. A write that was sent before its deadline is answered
  /// `stall_limit + stall_grace` after it at the latest, so that the answer can be its outcome; all else at
  /// the deadline.
  /// @return rows once committed; errors: queue_full, deadline, unavailable, closed (all `not_sent`),
  ///         deadline or connection with `unknown`, rejected with `executed`, or with `unknown` when an
  ///         earlier sending, lost with its connection, may have taken effect
  boost::asio::awaitable<result<rows>> execute(const statement& what, params values, call_options options);

  /// Opens a transaction on a leased connection.
  boost::asio::awaitable<result<transaction>> begin(tx_options options);

  /// Refuses new calls, waits for those under way until `deadline`, then closes every connection.
  boost::asio::awaitable<void> close(async::deadline deadline);

  [[nodiscard]] bool is_ready() const;      ///< at least one pipeline serves
  [[nodiscard]] bool has_replicas() const;  ///< configured ones, whatever their state
  [[nodiscard]] capabilities learned() const;
  [[nodiscard]] statistics stats() const;

 private:
  friend class transaction;
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace pam::db
