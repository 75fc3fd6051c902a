#pragma once

#include <string>

namespace pam::bench {

/// CPU seconds of this process so far.
[[nodiscard]] double own_cpu_seconds();
/// CPU seconds of the children this process has waited for.
[[nodiscard]] double children_cpu_seconds();
/// CPU seconds of PostgreSQL so far: of the postmaster whose data folder it is, and its children,
/// those that have ended included.
[[nodiscard]] double postgres_cpu_seconds(const std::string& data_dir);

}  // namespace pam::bench
