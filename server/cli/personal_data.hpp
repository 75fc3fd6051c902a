#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "db/admin_connection.hpp"
#include "server/cli/migration_error.hpp"

namespace pam::cli {

/// Whom a request about personal data is for: an account's id, or an address or phone number it holds.
struct person {
  std::string id;     ///< text of a UUID; wins over the others
  std::string claim;  ///< canonical address or E.164 number
};

/// The account's id. @return failed when nobody is found
[[nodiscard]] migration_result<std::string> find_person(db::admin_connection& connection, const person& who);

/// Everything the database holds of an account as one JSON object, a member a table. Hashes, sealed secrets
/// and tokens are left out: they are not the person's, and would be worth stealing.
[[nodiscard]] migration_result<std::string> export_person(db::admin_connection& connection,
                                                          const std::string& account);

/// What stands for an address or a number after a soft deletion: the same text gives the same pseudonym,
/// which nobody without the key can try out.
using pseudonym = std::function<std::string(std::string_view)>;

/// Soft deletion, one transaction: the claims are free, address and number become pseudonyms, everything else
/// that names the person goes, sessions end. The account's row, its sessions and its audit log stay, without
/// places.
[[nodiscard]] migration_result<void> erase_softly(db::admin_connection& connection,
                                                  const std::string& account, const pseudonym& replace);

/// Hard deletion, one transaction: no table has a row of the account any more.
/// @return rows deleted
[[nodiscard]] migration_result<std::int64_t> erase_hard(db::admin_connection& connection,
                                                        const std::string& account);

}  // namespace pam::cli
