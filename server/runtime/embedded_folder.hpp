#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <string>

#include "server/runtime/embedded_failure.hpp"
#include "server/runtime/embedded_process.hpp"

namespace pam::runtime {

/// The folder that one development database lives in: `pg/` (PostgreSQL's data), `log/`, `sock/`, `lock`.
/// Held by one process at a time, through a lock that ends with the process.
class embedded_folder {
 public:
  /// Opens `path` for `user`, or makes a temporary folder when `path` is empty (removed by the destructor).
  /// @return one sentence when another process holds it, or the user can neither enter nor own it
  [[nodiscard]] static embedded_result<embedded_folder> open(const std::filesystem::path& path,
                                                             const process_user& user);

  embedded_folder() = default;
  embedded_folder(embedded_folder&& other) noexcept;
  embedded_folder& operator=(embedded_folder&& other) noexcept;
  embedded_folder(const embedded_folder&) = delete;
  embedded_folder& operator=(const embedded_folder&) = delete;
  ~embedded_folder() { close(); }

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::filesystem::path data() const { return path_ / "pg"; }
  [[nodiscard]] std::filesystem::path logs() const { return path_ / "log"; }
  /// Directory of the Unix sockets, mode 0700; under /tmp when a path in the folder would be too long.
  [[nodiscard]] const std::filesystem::path& sockets() const { return sockets_; }
  /// Major version of the data, 0 when there are none yet.
  [[nodiscard]] int data_version() const;

  /// Removes what is temporary and lets the folder go.
  void close();

 private:
  embedded_result<void> lock();
  embedded_result<void> prepare(const process_user& user);
  embedded_result<void> place_sockets(const process_user& user);

  std::filesystem::path path_;
  std::filesystem::path sockets_;
  int lock_fd_ = -1;
  bool is_temporary_ = false;
  bool are_sockets_elsewhere_ = false;
};

/// Who runs the servers: ourselves, or when we are root the user `postgres`, else `nobody`.
[[nodiscard]] embedded_result<process_user> choose_user();

/// PostgreSQL's program folder: `override` when given, else the environment's PAM_PG_BIN, else of
/// /usr/lib/postgresql/*/bin the one of major version `wanted` (0: the newest), else the PATH.
[[nodiscard]] embedded_result<std::filesystem::path> find_postgres(const std::filesystem::path& override,
                                                                   int wanted);

/// PgBouncer's program: `override`, else PAM_PGBOUNCER, else the PATH and /usr/sbin.
[[nodiscard]] embedded_result<std::filesystem::path> find_pgbouncer(const std::filesystem::path& override);

/// The postmaster that runs on a data folder by its postmaster.pid, 0 when none does (the file is stale or
/// absent, or its number now belongs to another program).
[[nodiscard]] pid_t running_postmaster(const std::filesystem::path& data);

}  // namespace pam::runtime
