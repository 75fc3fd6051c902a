#pragma once

#include <iosfwd>
#include <string>

namespace pam::cli {

/// `pam-auth client ID`: makes the secret of a client of the OAuth 2.0 endpoints. `out` gets the secret and
/// a line feed, nothing else; `err` the entry for `oauth.clients`, which holds only its hash. The secret
/// is kept nowhere.
int run_client(const std::string& id, std::ostream& out, std::ostream& err);

}  // namespace pam::cli
