#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "server/runtime/config.hpp"
#include "server/runtime/embedded_failure.hpp"

namespace pam::runtime {

struct embedded_options {
  std::filesystem::path folder;  ///< data, logs and sockets; survives restarts. Empty with `is_ephemeral`
  bool is_ephemeral = false;     ///< in a temporary folder, `fsync=off`, removed at the end
  std::filesystem::path
      postgres;  ///< PostgreSQL's program folder; empty: PAM_PG_BIN, the newest installed, PATH
  std::filesystem::path pgbouncer;  ///< PgBouncer's program; empty: PAM_PGBOUNCER, PATH, /usr/sbin
  std::string database = "auth";
  std::size_t max_connections = 100;          ///< of PostgreSQL
  std::size_t pool_size = 20;                 ///< server connections of PgBouncer
  std::chrono::milliseconds timeout{60'000};  ///< for each of initdb, PostgreSQL and PgBouncer
};

/// A private PostgreSQL with PgBouncer in transaction mode before it: what `pam-auth dev` uses.
///
/// Both listen on Unix sockets in a folder of mode 0700 only, and trust whoever may enter it. Started by
/// root, they run as `postgres` or `nobody`. They are child processes in groups of their own: Ctrl-C reaches
/// us alone, and they end with us whatever ends us (PostgreSQL by a fast shutdown). After a crash the data
/// recover at the next start. Blocking; for start-up code, not for shards. Not thread-safe.
class embedded_postgres {
 public:
  /// Makes the data on the first start (initdb with checksums, UTF-8), starts both servers, makes the
  /// database and migrates it. With existing data this takes well under a second. Call it from a thread that
  /// lives as long as the servers should, normally the main thread: Linux ends them when the thread ends that
  /// started them.
  /// @param log  receives one line a step; may be empty
  /// @return one sentence with the cure: not installed, folder in use, of another user, of another version,
  ///         damaged, disk full, ...
  [[nodiscard]] static embedded_result<embedded_postgres> start(
      const embedded_options& options, const std::function<void(std::string_view)>& log = {});

  embedded_postgres(embedded_postgres&&) noexcept;
  embedded_postgres& operator=(embedded_postgres&&) noexcept;
  embedded_postgres(const embedded_postgres&) = delete;
  embedded_postgres& operator=(const embedded_postgres&) = delete;
  ~embedded_postgres();  ///< stops

  [[nodiscard]] const std::filesystem::path& socket_dir() const;  ///< the host to give to libpq
  [[nodiscard]] std::uint16_t pg_port() const { return 5432; }
  [[nodiscard]] std::uint16_t pgbouncer_port() const { return 6432; }
  [[nodiscard]] std::string superuser() const { return "postgres"; }
  [[nodiscard]] const std::string& database()
      const;                        ///< on PostgreSQL; PgBouncer's aliases: auth_rw, auth_admin
  [[nodiscard]] pid_t pid() const;  ///< of the postmaster, 0 when stopped
  [[nodiscard]] pid_t pgbouncer_pid() const;

  /// Points `[database]` at PgBouncer (as pam_app) and `[migrate]` at PostgreSQL.
  void apply_to(configuration& settings) const;

  /// Whether both servers run. False is final: stop, then start anew.
  [[nodiscard]] bool is_alive();

  /// Stops PgBouncer, then PostgreSQL by a fast shutdown; removes ephemeral data. Harmless when called twice.
  void stop();

 private:
  struct impl;
  explicit embedded_postgres(std::unique_ptr<impl> state);
  std::unique_ptr<impl> impl_;
};

}  // namespace pam::runtime
