#pragma once

#include <string>

#include <boost/system/result.hpp>

namespace pam::cli {

/// Why a migration command stopped, by what an operator can do about it.
enum class migration_errc {
  malformed,     ///< a file's header or the numbering is wrong: a bug of the build
  edited,        ///< a file differs from what was applied
  renamed,       ///< a version is known under another name
  gap,           ///< the binary misses a version below its highest
  out_of_order,  ///< a version below the applied ones was never applied
  newer,         ///< the database is ahead of this binary
  unfinished,    ///< an earlier run stopped inside a migration that cannot be resumed
  guarded,       ///< a contract migration without the operator's word
  busy,          ///< another runner holds the lock
  locked,        ///< the tables stayed locked through every try
  unsuitable,    ///< a pooler, a standby, or a server that is too old
  connection,    ///< no connection, or it was lost
  failed,        ///< the SQL itself, or a verification, failed
};

/// One failure as one sentence for the operator; it may name tables and roles, never a password.
struct migration_error {
  migration_errc code = migration_errc::failed;
  std::string sentence;
};

template <class T>
using migration_result = boost::system::result<T, migration_error>;

[[noreturn]] void throw_exception_from_error(const migration_error& failure,
                                             const boost::source_location& where);

}  // namespace pam::cli
