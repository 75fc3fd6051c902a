#pragma once

#include <iosfwd>
#include <string>

#include "server/runtime/config.hpp"

namespace pam::cli {

/// `pam-auth config default`: a configuration file with every key, commented.
int run_config_default(std::ostream& out);

/// `pam-auth config reference`: every key in tables, as Markdown.
int run_config_reference(std::ostream& out);

/// `pam-auth config check`: every finding about the file and the environment, and what is missing to serve,
/// one a line on `err`. When there is none, `out` gets the profile, what departs from it and the
/// connections the process will open. Opens no connection; reads password files only.
int run_config_check(const std::string& file, const runtime::environment& variables, std::ostream& out,
                     std::ostream& err);

/// `pam-auth config explain`: everything about one key, on `out`. An unknown one is `usage`, with the nearest
/// names on `err`; a configuration that is refused is `failure`, with its findings.
/// @param file  empty: defaults and environment only
int run_config_explain(const std::string& key, const std::string& file, const runtime::environment& variables,
                       std::ostream& out, std::ostream& err);

}  // namespace pam::cli
