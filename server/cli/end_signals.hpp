#pragma once

#include <chrono>

namespace pam::cli {

/// From now on SIGTERM and SIGINT wait to be asked for: what is under way is ended properly. For commands of
/// one thread that take long; never undone.
void hold_end_signals();
/// Waits for a signal that was held, at most so long; zero only looks. @return true when one came
[[nodiscard]] bool end_signal_came(std::chrono::milliseconds patience);

}  // namespace pam::cli
