#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "migrations/migration.hpp"
#include "server/cli/migration_error.hpp"

namespace pam::cli {

enum class ledger_state : std::uint8_t {
  applied,
  running,  ///< its runner is under way, or died: only files outside a transaction are ever seen so
  failed,   ///< a file outside a transaction stopped half-way
};

/// One row of the table schema_migrations.
struct ledger_row {
  int version = 0;
  std::string name;
  std::string up_sha256;    ///< 64 lower-case hexadecimal digits
  std::string down_sha256;  ///< likewise
  ledger_state state = ledger_state::applied;
  std::string applied_at;  ///< as PostgreSQL prints it, UTC
  std::int64_t duration_ms = 0;
  std::string app_version;
};

/// What a run has to do.
struct migration_plan {
  int current = 0;           ///< highest applied version, 0 when there is none
  std::size_t first = 0;     ///< index of the first pending migration
  bool is_resuming = false;  ///< the first pending one was begun by an earlier run
};

/// SHA-256 of a text, 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256_hex(std::string_view text);

/// Compares what the binary brings with what the database says was applied. Pure.
/// @param known   the binary's migrations, in order
/// @param ledger  rows in any order
/// @return the pending rest of `known`, or a refusal: malformed, gap, newer, out_of_order, renamed, edited,
///         unfinished. A file that stopped half-way may be edited, one that was applied may not.
[[nodiscard]] migration_result<migration_plan> judge(std::span<const migrations::migration> known,
                                                     std::span<const ledger_row> ledger);

/// "0002_accounts"
[[nodiscard]] std::string display_name(int version, std::string_view name);
[[nodiscard]] inline std::string display_name(const migrations::migration& what) {
  return display_name(what.version, what.name);
}

[[nodiscard]] std::string_view to_string(ledger_state state);

}  // namespace pam::cli
