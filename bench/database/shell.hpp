#pragma once

#include <string>

namespace pam::bench {

/// What a command of the shell writes to its standard output. Unlike std::system, a signal that shall end us
/// does so meanwhile.
/// @return with whatever status it ended; throws when there is no shell
[[nodiscard]] std::string output_of(const std::string& command);

/// Runs a command, whose output goes where our errors go; throws when it fails.
void run_command(const std::string& command);

}  // namespace pam::bench
