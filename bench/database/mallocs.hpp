#pragma once

#include <cstdint>

namespace pam::bench {

/// What this thread asked of malloc, calloc and realloc since it began, whoever called: libpq's too.
struct malloc_count {
  std::uint64_t calls = 0;
  std::uint64_t bytes = 0;
};
[[nodiscard]] malloc_count mallocs();

}  // namespace pam::bench
