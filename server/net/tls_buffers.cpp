#include "server/net/tls_buffers.hpp"

#include <malloc.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include <openssl/crypto.h>

namespace pam::net {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool is_sanitized = true;
#elif defined(__has_feature)
constexpr bool is_sanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool is_sanitized = false;
#endif

// Every record buffer of OpenSSL 3, for reading or writing, is a little above 16 KiB; all are given the same
// size, so that any one kept serves the next. malloc rounds up by less than `slack`.
constexpr std::size_t smallest = 16 * 1024;
constexpr std::size_t given = 18 * 1024;
constexpr std::size_t slack = 64;
constexpr std::size_t alignment = 512;
static_assert(given % alignment == 0, "aligned_alloc wants it");

// malloc serves all sizes of this range with blocks of the same size.
constexpr std::size_t smallest_small = 25;
constexpr std::size_t small = 40;

template <std::size_t Most>
struct kept_blocks {
  std::array<void*, Most> memory;
  std::size_t count;

  void* take() { return count > 0 ? memory[--count] : nullptr; }
  /// The last one in is the first one out: it is still in the processor's cache.
  bool keep(void* block) {
    if (count == Most) return false;
    memory[count++] = block;
    return true;
  }
};
constinit thread_local kept_blocks<tls_buffers_kept> buffers{};
constinit thread_local kept_blocks<small_blocks_kept> small_blocks{};

void* reallocate(void* memory, std::size_t size, const char* /*file*/, int /*line*/) {
  return std::realloc(memory, size);
}

}  // namespace

namespace detail {

void* allocate(std::size_t size, const char* /*file*/, int /*line*/) {
  if (size >= smallest_small && size <= small) {
    void* const block = small_blocks.take();
    return block != nullptr ? block : std::malloc(small);
  }
  if (size < smallest || size > given) return std::malloc(size);
  void* const buffer = buffers.take();
  return buffer != nullptr ? buffer : std::aligned_alloc(alignment, given);
}

void release(void* memory, const char* /*file*/, int /*line*/) {
  if (memory == nullptr) return;
  const std::size_t size = malloc_usable_size(memory);
  if (size == small && small_blocks.keep(memory)) return;
  const bool is_buffer =
      size >= given && size < given + slack && reinterpret_cast<std::uintptr_t>(memory) % alignment == 0;
  if (is_buffer && buffers.keep(memory)) return;
  std::free(memory);
}

}  // namespace detail

bool keep_tls_buffers() {
  if (is_sanitized) return false;
  return CRYPTO_set_mem_functions(detail::allocate, reallocate, detail::release) == 1;
}

}  // namespace pam::net
