#pragma once

#include <iosfwd>
#include <string_view>

namespace pam::cli {

/// "0.1.0": the version of this build.
[[nodiscard]] std::string_view version();

/// `pam-auth version`: the version, then the libraries in use, one a line.
int run_version(std::ostream& out);

}  // namespace pam::cli
