#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>

#include "server/runtime/config.hpp"

namespace pam::runtime {

/// Options of `pam-auth dev`.
struct dev_options {
  std::uint16_t port = 8443;  ///< 0: any free port
  std::string data = ".dev/data";
  bool is_ephemeral = false;  ///< data in a temporary folder, gone at the end
  std::string ready_file;     ///< JSON about the running server, written when it is ready
};

/// `pam-auth dev`: a private PostgreSQL and PgBouncer, migrations, a development certificate and keys, then
/// the server on loopback, one demonstration round, and the lines to paste. Until SIGINT or SIGTERM; ends
/// everything it started.
/// @param variables  PAM_SECTION__KEY overrides, as for `serve`
/// @return exit code: 0 stopped as asked, 1 with one sentence on `err`
int run_dev(const dev_options& options, const environment& variables, std::ostream& out, std::ostream& err);

}  // namespace pam::runtime
