#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pam::cli {

/// The statements of a script, without comments, blank space collapsed, in order. Knows quotes, escape
/// strings, dollar quotes and nested comments; what stands inside quotes is kept as it is.
[[nodiscard]] std::vector<std::string> split_statements(std::string_view script);

/// The strength of the strongest lock a statement holds on a table that others use, in PostgreSQL's order.
enum class table_lock {
  none,                    ///< nothing that existed before
  access_share,            ///< readers and writers go on
  row_exclusive,           ///< likewise; locks the rows it writes
  share_update_exclusive,  ///< readers and writers go on, other DDL waits
  share,                   ///< writers wait
  share_row_exclusive,     ///< writers wait
  access_exclusive,        ///< everybody waits
  unknown,                 ///< decided while it runs: a DO block
};
[[nodiscard]] std::string_view to_string(table_lock lock);

/// What a statement does to the rows of the table it locks.
enum class table_work {
  nothing,  ///< the catalogue only: milliseconds
  scan,     ///< reads the table once
  build,    ///< reads it and builds an index
  rewrite,  ///< writes it anew
  rows,     ///< changes rows
};

/// What to expect of one statement.
struct forecast {
  std::string statement;  ///< its first words, for people
  table_lock lock = table_lock::none;
  table_work work = table_work::nothing;
  std::string table;  ///< the table the lock is about, without schema; empty: none
};

/// Judges every statement of a script by its text. A table the script itself makes is nobody else's: no lock.
[[nodiscard]] std::vector<forecast> forecast_script(std::string_view script);

}  // namespace pam::cli
