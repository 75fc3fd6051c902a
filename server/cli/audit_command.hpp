#pragma once

#include <iosfwd>
#include <string>

#include "server/cli/audit_export.hpp"
#include "server/runtime/config.hpp"

namespace pam::cli {

/// Where `pam-auth audit export` reads and writes, beside what it exports.
struct audit_export_place {
  std::string host;        ///< instead of `migrate.host`: a standby; empty: that one
  std::uint16_t port = 0;  ///< likewise
  std::string role;        ///< instead of `migrate.user`; empty: that one
  std::string holder;      ///< the account of this address or number alone; empty: as the request says
  std::string output;      ///< a file, made with mode 0600 and never replaced, continued when the request has
                           ///< `after`; empty: `out`
};

/// `pam-auth audit export`: events on `out` or in the file, progress and the key to go on at on `err`.
/// After `hold_end_signals`, SIGINT and SIGTERM end it behind the page that is under way, with exit code 1.
int run_audit_export(const runtime::configuration& settings, const audit_export_place& place,
                     export_request wanted, std::ostream& out, std::ostream& err);

}  // namespace pam::cli
