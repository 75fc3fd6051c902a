#pragma once

#include <iosfwd>
#include <string>

#include "server/runtime/config.hpp"

namespace pam::runtime {

/// `pam-auth serve --config FILE`: serves until SIGTERM or SIGINT, on the sockets systemd passed if there are
/// any.
/// @param takes_over  replace the server at server.control_socket if one is there: its listeners are used,
/// and
///                    it drains once this process serves
/// @return exit code: 0 stopped as asked, 1 could not start (the reasons are on `err`)
int run_serve(const std::string& config_file, bool takes_over, const environment& variables,
              std::ostream& err);

}  // namespace pam::runtime
