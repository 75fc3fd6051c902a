#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "server/cli/migration_error.hpp"

namespace pam::cli {

/// What a migration does to servers of the previous version that still run.
enum class migration_phase : std::uint8_t {
  expand,    ///< adds; they do not notice
  backfill,  ///< fills what was added
  contract,  ///< takes away; they would fail
};

[[nodiscard]] std::string_view to_string(migration_phase phase);

/// The header of an up or down file: the comment lines at its very top, `-- key: value` each.
struct migration_directives {
  bool is_transactional = true;  ///< `tx: on | off`
  migration_phase phase = migration_phase::expand;
  std::chrono::milliseconds lock_timeout{200};  ///< `0ms` to `60s`; 0 waits without limit
  int retries = 30;   ///< tries after the first when a lock was not granted, 0 to 1000
  std::string role;   ///< `role: name` (optional): who runs the file; empty: the connection's own
  int batch = 0;      ///< `batch: n` (optional, 1 to 100000): a backfill that goes by key, n rows at a time
  std::string table;  ///< `table: name` (with batch): the table it goes through, for the estimate
  std::string
      each;  ///< `each: table` (optional, tx: off): run once a partition of it, `{partition}` replaced

  [[nodiscard]] bool is_keyset() const { return batch > 0; }
};

/// Reads the header strictly: `tx`, `phase`, `lock_timeout` and `retries` exactly once each, `role`, `batch`
/// and `table` at most once, the last two together and only with `phase: backfill` and `tx: off`, `each` only
/// with `tx: off`; nothing unknown, no directive below the header (it would be ignored silently).
/// @param file_name  for the error's sentence only
[[nodiscard]] migration_result<migration_directives> parse_directives(std::string_view sql,
                                                                      std::string_view file_name);

}  // namespace pam::cli
