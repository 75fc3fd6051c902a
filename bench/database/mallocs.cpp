// Counts by standing before glibc's malloc, calloc and realloc in this executable (the program's own symbols
// are found first, by shared libraries as well); glibc exports the originals under these names.
#include "bench/database/mallocs.hpp"

#include <cstddef>

namespace {

thread_local pam::bench::malloc_count count;

void note(std::size_t bytes) {
  ++count.calls;
  count.bytes += bytes;
}

}  // namespace

pam::bench::malloc_count pam::bench::mallocs() {
  return count;
}

extern "C" {
// NOLINTBEGIN(bugprone-reserved-identifier,readability-identifier-naming): glibc's names
void* __libc_malloc(std::size_t size) noexcept;
void* __libc_calloc(std::size_t number, std::size_t size) noexcept;
void* __libc_realloc(void* old, std::size_t size) noexcept;
// NOLINTEND(bugprone-reserved-identifier,readability-identifier-naming)

void* malloc(std::size_t size) noexcept {
  note(size);
  return __libc_malloc(size);
}

void* calloc(std::size_t number, std::size_t size) noexcept {
  note(number * size);
  return __libc_calloc(number, size);
}

void* realloc(void* old, std::size_t size) noexcept {
  note(size);
  return __libc_realloc(old, size);
}
}
