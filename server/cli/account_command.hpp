#pragma once

#include <iosfwd>

#include "server/cli/personal_data.hpp"
#include "server/runtime/config.hpp"

namespace pam::cli {

/// `pam-auth account export`: everything held of a person, as JSON on `out`.
int run_account_export(const runtime::configuration& settings, const person& who, std::ostream& out,
                       std::ostream& err);

/// `pam-auth account erase`: soft (needs `keys.file` for the pseudonyms) or hard deletion.
int run_account_erase(const runtime::configuration& settings, const person& who, bool is_hard,
                      std::ostream& out, std::ostream& err);

/// A pseudonym under the refresh key: 32 hexadecimal digits.
[[nodiscard]] migration_result<pseudonym> pseudonym_of(const runtime::configuration& settings);

}  // namespace pam::cli
