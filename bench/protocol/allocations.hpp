#pragma once

#include <cstdint>

namespace pam::bench {

/// Calls of operator new on this thread since it began.
[[nodiscard]] std::uint64_t allocations();

}  // namespace pam::bench
