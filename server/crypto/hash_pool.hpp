#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>

#include "async/deadline.hpp"
#include "server/crypto/error.hpp"
#include "server/crypto/secret.hpp"
#include "server/crypto/turn.hpp"

namespace pam::crypto {

/// Cost of new hashes (Argon2id, p = 1). Defaults: OWASP Password Storage Cheat Sheet, m = 19 MiB, t = 2.
struct hash_cost {
  std::uint32_t memory_kib = 19'456;
  std::uint32_t passes = 2;
};

struct hash_pool_config {
  std::size_t threads = 1;                    ///< this process's share of the host's budget
  std::size_t queue_limit = 256;              ///< jobs waiting; above it a call answers queue_full at once
  std::chrono::milliseconds max_wait{1'000};  ///< a job that will not have started by then: `deadline`
  int nice = 10;
  hash_cost cost;
};

struct hash_pool_statistics {
  std::uint64_t hashed = 0;
  std::uint64_t refused_queue_full = 0;
  std::uint64_t refused_deadline = 0;
  std::uint64_t queued = 0;             ///< now
  std::uint64_t running = 0;            ///< now
  std::uint64_t busy_microseconds = 0;  ///< time spent hashing, all threads
  std::uint64_t waited_microseconds = 0;
};

/// What a verification found.
struct verification {
  bool matches = false;
  bool needs_rehash = false;  ///< matches, but scheme or costs are below the pool's
};

/// Bounded pool of low-priority threads for password hashing. A full queue answers at once, a job that
/// waited too long is refused before it costs anything: hashing can never starve signed-in users.
/// Thread-safe; awaitables complete on the caller's executor.
class hash_pool {
 public:
  explicit hash_pool(hash_pool_config settings);
  ~hash_pool();
  hash_pool(const hash_pool&) = delete;
  hash_pool& operator=(const hash_pool&) = delete;

  /// PHC string of an Argon2id hash of `password` with a fresh salt.
  boost::asio::awaitable<result<std::string>> hash(secret password, async::deadline deadline);

  /// Verifies against a stored PHC string. An empty `stored` is checked against a dummy hash of the
  /// pool's own cost, so that an unknown subject costs what a known one does; it never matches.
  /// @param whose  `first` for who has been here before: in a storm of sign-ins, and even when the queue
  ///               is full, he is served before strangers
  boost::asio::awaitable<result<verification>> verify(secret password, std::string stored,
                                                      async::deadline deadline, turn whose = turn::usual);

  /// For who is refused a password's work before he comes here, as the pool's own refusals are.
  /// @return when he shall come back; `error::retry_after` of a refused call is the same
  std::chrono::seconds send_away(turn whose);

  /// Refuses new jobs, finishes running ones, fails queued ones with `closed`, joins the threads.
  void close();

  [[nodiscard]] hash_pool_statistics stats() const;

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::crypto
